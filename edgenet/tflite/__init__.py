"""Writes .tflite files from graphs and reads .tflite files back, with their metadata and labels."""
