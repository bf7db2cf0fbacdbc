"""Floors: the minimal cost of a figure's guarantee with the same components and without Callboard."""
