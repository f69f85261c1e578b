"""The verbs: what the command line calls, as functions."""
