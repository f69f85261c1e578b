"""Rewrites a graph into an equal one that is smaller or fits into a file; one kind of rewrite per module."""
