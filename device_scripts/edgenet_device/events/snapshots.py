"""The sink --snapshots: the frame of an event as a photo, within a disk budget."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import Event
from edgenet_device.events.hub import Picture, Sink
from edgenet_device.events.kept_files import KeptFiles
from edgenet_device.events.trigger import Trigger
from edgenet_device.events.watcher import Happening

QUALITY = 90


class SnapshotSink(Sink):
    """Writes the frame of every event that a trigger waits for as a JPEG.

    Args:
        triggers: what is kept.
        files: where to.
    """

    capacity = 8  # frames are large
    attempts = 3
    wants_pictures = True

    def __init__(self, triggers: Sequence[Trigger], files: KeptFiles) -> None:
        self.name = "the snapshots"
        self._triggers, self._files = tuple(triggers), files

    def takes(self, happening: Happening) -> bool:
        """Return whether a trigger fires."""
        return any(trigger.fires(happening) for trigger in self._triggers)

    def deliver(self, event: Event, picture: Picture) -> None:
        """Write the frame."""
        if picture is None:
            return
        encoded, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not encoded:
            raise EdgenetError("OpenCV cannot encode the frame")
        self._files.write(event, data.tobytes())
