"""Reads photos on the host: labelled or not, from folders or zip archives, all at once or in batches."""

from edgenet.data.choose import choose, choose_with_spare, content_hashes, digest
from edgenet.data.load import Loaded, load_all, load_batches
from edgenet.data.matching import outputs_for
from edgenet.data.photos import PhotoSet, open_photos, split_folders

__all__ = [
    "Loaded",
    "PhotoSet",
    "choose",
    "choose_with_spare",
    "content_hashes",
    "digest",
    "load_all",
    "load_batches",
    "open_photos",
    "outputs_for",
    "split_folders",
]
