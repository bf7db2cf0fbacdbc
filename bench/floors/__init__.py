"""Floors: the least that a figure's guarantee costs with the same parts, and nothing of Callboard."""
