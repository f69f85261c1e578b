"""The error type of the whole project. It is defined in `device_scripts`, which must run without edgenet."""

from edgenet_device.errors import EdgenetError as EdgenetError
