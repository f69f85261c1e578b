"""The error type of the whole project; it lives with the device scripts, which must run without edgenet."""

from device_scripts.errors import EdgenetError as EdgenetError
