"""The command service. Its slices, in the order in which they may import: dead_letters, commands, dispatch."""
