"""Photos: reading sets of them, choosing among them, and matching one set with another."""
