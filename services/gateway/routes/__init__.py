"""Every route as data: what it takes, which call it becomes, and what it answers."""
