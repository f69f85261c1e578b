"""Latency on this device: how it is measured, under which conditions, and the report."""
