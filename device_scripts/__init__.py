"""What runs on the Raspberry Pi or phone: numpy, a LiteRT runtime and OpenCV, nothing else of edgenet."""
