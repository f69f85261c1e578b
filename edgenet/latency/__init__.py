"""Latency: measuring it on devices, reading and comparing reports, and choosing a network by it."""
