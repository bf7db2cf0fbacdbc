"""The session service. Each of its slices may import the later ones: events, sessions, agents."""
