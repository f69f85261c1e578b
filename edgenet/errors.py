"""The error type of the whole project, and other people's text made fit for its one line.

Both are defined in `device_scripts`, which must run without edgenet.
"""

from __future__ import annotations

from edgenet_device.errors import EdgenetError as EdgenetError
from edgenet_device.foreign_text import one_line as one_line
