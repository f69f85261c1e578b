"""Measuring with TensorFlow Lite's own program, benchmark_model, which the user gives: no Python is needed there."""
