"""The .tflite file: written from a graph, read back for inspection, with its metadata and labels."""
