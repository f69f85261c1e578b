"""The photos that choose the best of several networks, and others that judge the chosen one.

The best of many scores is too high, because chance helped it to be the best. So a network is never reported by the
photos that chose it, nor by other photos of the same scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenet.data.folders import split_kind
from edgenet.data.groups import THUMBNAIL, group_photos
from edgenet.data.loading import load_all
from edgenet.data.photos import PhotoSet, open_photos, split_folders
from edgenet.data.splits import hold_out_groups

HALF = 0.5


@dataclass(frozen=True)
class JudgingPhotos:
    """Photos that no network was trained or calibrated with.

    Attributes:
        choosing: the photos that choose a network.
        reporting: the photos that judge the chosen network; None if there are too few for both.
    """

    choosing: PhotoSet
    reporting: PhotoSet | None


def judging_photos(validation: PhotoSet, data: Path, seed: int) -> JudgingPhotos:
    """Return the photos to choose by and the photos to report by.

    If the data has a validation folder and a test folder, these are they. Else the validation photos are halved: every
    class is in both halves, and photos that look like one scene are in the same half. If a class has only one photo or
    one scene, all photos choose.

    Args:
        validation: the labelled photos that were held out, or the data's validation folder.
        data: the folder or zip of all photos.
        seed: the seed of the training, which decides the halves.

    Raises:
        EdgenetError: none of the photos can be read.
    """
    test = next((name for name in split_folders(data) if split_kind(name) == "test"), None)
    if test is not None and validation.split not in (None, test):
        reporting = open_photos(data, split=test)
        if reporting.class_names == validation.class_names:
            return JudgingPhotos(validation, reporting)
    loaded = load_all(validation, THUMBNAIL)
    index = {name: number for number, name in enumerate(validation.names)}
    readable = validation.take([index[name] for name in loaded.names])
    labels = np.array([label for label in readable.labels if label is not None], np.int64)
    groups = group_photos(None, loaded.images, labels, readable.names, loaded.contents)
    choosing, reporting_rows = hold_out_groups(labels, groups.ids, loaded.contents, HALF, seed)
    if set(labels[reporting_rows]) != set(labels):
        return JudgingPhotos(validation, None)
    return JudgingPhotos(readable.take(choosing.tolist()), readable.take(reporting_rows.tolist()))
