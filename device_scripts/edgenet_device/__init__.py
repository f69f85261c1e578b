"""Scripts for the Raspberry Pi or phone: they need only numpy, a LiteRT runtime and OpenCV."""
