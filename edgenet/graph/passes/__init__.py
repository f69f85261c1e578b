"""Rewriting a graph into an equal one that is smaller or that a file can hold: one kind for each module."""
