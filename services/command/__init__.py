"""The command service. Each of its slices may import the later ones: dead_letters, commands, dispatch."""
