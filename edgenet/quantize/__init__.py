"""From the float graph to integers: ranges, encodings, recipes, the exact integer reading, and the error it makes."""
