"""The session service. Its slices, in the order in which they may import: events, sessions, agents."""
