"""Latency: measured on a device by its scripts, read from reports, compared, drawn, and used to choose a network."""
