"""Measuring with TensorFlow Lite's program benchmark_model, given by the user; the device needs no Python."""
