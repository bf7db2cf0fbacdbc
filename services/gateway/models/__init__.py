"""The shapes of REST bodies, queries and answers."""
