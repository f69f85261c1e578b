"""Quantize a float graph to int8: ranges, encodings, recipes, bit-exact integer execution, error measures."""
