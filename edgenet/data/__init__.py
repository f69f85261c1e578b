"""Photos: reading sets of them, choosing among them, preparing them for a network, and the names of their classes."""
