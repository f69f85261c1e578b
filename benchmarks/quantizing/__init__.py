"""The parts of `python -m benchmarks.int8`."""
