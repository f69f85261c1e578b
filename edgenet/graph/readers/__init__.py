"""Ways into the graph: ONNX files, and torch modules."""
