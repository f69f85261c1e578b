"""The features that a frozen network computes of photos: what it gives to its last layer, one vector per picture.

Each photo goes through the network once as the device sees it and once mirrored. The features are kept in the cache, by
the SHA-256 of the photo's file, so that a second run over the same photos computes only those of new ones.
"""

from __future__ import annotations

import copy
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from edgenet_device.frames.photos import read_photo
from edgenet_device.ports import RULE
from edgenet_device.preprocess import prepare
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgenet.data.groups import THUMBNAIL
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.files import cache_folder, read_arrays, write_atomically
from edgenet.progress import StageProgress
from edgenet.training.learner import channels_last
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.classifier import Classifier

VIEWS = 2
"""View 0 is the photo as the device sees it, view 1 its mirror image, which a training of signs leaves out."""
_BATCH = 8
"""Photos that go through the network together. Their maps stay in the processor's cache: at 160 pixels 32 take half as
long again for each."""
_FORMAT = 2
"""Part of the cache's key; to be raised when the same photo gives other features than before."""


@dataclass(frozen=True)
class PhotoFeatures:
    """The features of the readable photos of a set.

    Attributes:
        values: float32 [n, views, channels]; see `VIEWS`.
        labels: the class index of each photo, int64 [n]; -1 for a photo without a label.
        thumbnails: the square that the network sees, uint8 RGB [n, THUMBNAIL, THUMBNAIL, 3].
        contents: the SHA-256 of each photo's file, 32 bytes.
        photos: the photos, in the same order.
        skipped: (name, reason) of the photos that could not be read; they are left out of the other fields.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    thumbnails: NDArray[np.uint8]
    contents: tuple[bytes, ...]
    photos: PhotoSet
    skipped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def plain(self) -> NDArray[np.float32]:
        """The features of the photos as the device sees them, [n, channels]."""
        return self.values[:, 0]

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> PhotoFeatures:
        """Return the photos at these indices, in this order."""
        rows = np.asarray(indices, np.int64)
        return PhotoFeatures(
            self.values[rows],
            self.labels[rows],
            self.thumbnails[rows],
            tuple(self.contents[i] for i in rows),
            self.photos.take(rows.tolist()),
            self.skipped,
        )


def extract_features(
    photos: PhotoSet,
    network: LoadedNetwork,
    progress: StageProgress | None = None,
    cache: Path | None = None,
) -> PhotoFeatures:
    """Compute the features of every readable photo at the network's resolution, or take them from the cache.

    Args:
        photos: the photos, with or without labels.
        network: the frozen network; only what comes before its last layer counts.
        progress: called with the number of photos done and the number of all photos.
        cache: the folder of the cached features; None uses `features` in edgenet's cache folder.

    Raises:
        EdgenetError: none of the photos can be read.
    """
    stored = _Cache((cache or cache_folder() / "features") / _network_key(network))
    known = stored.load()
    found: list[tuple[bytes, NDArray[np.float32], NDArray[np.uint8]] | str] = []
    fresh: dict[bytes, tuple[NDArray[np.float32], NDArray[np.uint8]]] = {}
    module = _frozen(network)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for batch in _batches(photos, network.variant.resolution, known, pool):
            pixels = [one.pixels for one in batch if isinstance(one, _Read) and one.pixels is not None]
            computed: Iterator[NDArray[np.float32]] = iter(())
            if pixels:
                computed = iter(_features(module, network, np.stack(pixels)))
            for one in batch:
                if isinstance(one, str):
                    found.append(one)
                    continue
                if one.pixels is not None:
                    known[one.content] = fresh[one.content] = (next(computed), one.thumbnail())
                found.append((one.content, *known[one.content]))
            if progress is not None:
                progress(len(found), len(photos))
    stored.add(fresh)
    return _gather(photos, found)


def features_of(module: Classifier, pixels: Tensor) -> Tensor:
    """Return what the network gives to its last layer, [n, channels], of normalized RGB [n, 3, size, size]."""
    return module.flatten(module.head(module.pool(module.features(pixels))))


@dataclass(frozen=True)
class _Read:
    """A photo that was read; `pixels` is uint8 RGB [size, size, 3], or None where its features are known."""

    content: bytes
    pixels: NDArray[np.uint8] | None

    def thumbnail(self) -> NDArray[np.uint8]:
        assert self.pixels is not None
        small = np.empty((THUMBNAIL, THUMBNAIL, 3), np.uint8)
        cv2.resize(self.pixels, (THUMBNAIL, THUMBNAIL), dst=small, interpolation=cv2.INTER_AREA)
        return small


def _batches(
    photos: PhotoSet, size: int, known: dict[bytes, tuple[NDArray, NDArray]], pool: ThreadPoolExecutor
) -> Iterator[list[_Read | str]]:
    """Yield the photos, read by the pool while the network computes; a photo that cannot be read is its reason."""

    def read(index: int) -> _Read | str:
        try:
            data = photos.read_bytes(index)
            content = hashlib.sha256(data).digest()
            if content in known:
                return _Read(content, None)
            return _Read(content, prepare(read_photo(data, photos.names[index]), size)[0])
        except EdgenetError as error:
            return str(error)

    starts = range(0, len(photos), _BATCH)
    waiting = [pool.submit(read, index) for index in range(min(2 * _BATCH, len(photos)))]
    for start in starts:
        batch = [future.result() for future in waiting[:_BATCH]]
        ahead = range(min(start + 2 * _BATCH, len(photos)), min(start + 3 * _BATCH, len(photos)))
        waiting = waiting[_BATCH:] + [pool.submit(read, index) for index in ahead]
        yield batch


@torch.no_grad()
def _features(module: Classifier, network: LoadedNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the features [n, views, channels] of uint8 RGB [n, size, size, 3]."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    x = network.normalization(x)
    views = (
        features_of(module, view.contiguous(memory_format=torch.channels_last)) for view in (x, x.flip(3))
    )
    return torch.stack(list(views), dim=1).numpy()


def _frozen(network: LoadedNetwork) -> Classifier:
    """Return a copy of the network for inference, with batch normalization folded into the convolutions."""
    module = copy.deepcopy(network.module).eval()
    for sequence in [part for part in module.modules() if isinstance(part, nn.Sequential)]:
        names = list(sequence._modules)
        for first, second in pairwise(names):
            convolution, norm = sequence._modules[first], sequence._modules[second]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                sequence._modules[first] = fuse_conv_bn_eval(convolution, norm)
                sequence._modules[second] = nn.Identity()
    return channels_last(module)


def _network_key(network: LoadedNetwork) -> str:
    """Return a name that changes with everything that the features depend on, besides the photo."""
    digest = hashlib.sha256(repr((_FORMAT, RULE, network.variant.name, network.module.options)).encode())
    for name, tensor in sorted(network.module.state_dict().items()):
        if not name.startswith("classifier."):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    return f"{network.variant.name}-{digest.hexdigest()[:16]}"


def _gather(
    photos: PhotoSet, found: Sequence[tuple[bytes, NDArray[np.float32], NDArray[np.uint8]] | str]
) -> PhotoFeatures:
    good = [(index, one) for index, one in enumerate(found) if not isinstance(one, str)]
    skipped = tuple((photos.names[index], one) for index, one in enumerate(found) if isinstance(one, str))
    if not good:
        reason = skipped[0][1] if skipped else "there are none"
        raise EdgenetError(
            f"none of the {len(photos)} photos in {photos.origin} can be read: {reason}", "give other photos"
        )
    kept = photos.take([index for index, _ in good])
    return PhotoFeatures(
        values=np.stack([one[1] for _, one in good]),
        labels=np.array([-1 if label is None else label for label in kept.labels], np.int64),
        thumbnails=np.stack([one[2] for _, one in good]),
        contents=tuple(one[0] for _, one in good),
        photos=kept,
        skipped=skipped,
    )


class _Cache:
    """Features on disk, one file for each run that computed new ones. If the cache fails, a run is only slower."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self) -> dict[bytes, tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """Return what is known, by the SHA-256 of the photo's file; damaged files are passed over."""
        known: dict[bytes, tuple[NDArray[np.float32], NDArray[np.uint8]]] = {}
        for path in sorted(self.folder.glob("*.npz")) if self.folder.is_dir() else []:
            try:
                arrays = read_arrays(path)
                contents, values, small = (arrays[name] for name in ("contents", "values", "thumbnails"))
            except (OSError, ValueError, KeyError, EdgenetError):
                continue
            kinds = [(array.dtype.name, array.ndim > 1) for array in (contents, values, small)]
            sound = kinds == [("uint8", True), ("float32", True), ("uint8", True)]
            if sound and len(contents) == len(values) == len(small):
                known.update(
                    zip((bytes(row) for row in contents), zip(values, small, strict=True), strict=True)
                )
        return known

    def add(self, fresh: dict[bytes, tuple[NDArray[np.float32], NDArray[np.uint8]]]) -> None:
        """Keep new features, unless the disk is full or the folder cannot be written."""
        if not fresh:
            return
        buffer = io.BytesIO()
        np.savez(
            buffer,
            contents=np.stack([np.frombuffer(content, np.uint8) for content in fresh]),
            values=np.stack([one[0] for one in fresh.values()]),
            thumbnails=np.stack([one[1] for one in fresh.values()]),
        )
        name = hashlib.sha256(b"".join(sorted(fresh))).hexdigest()[:16]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / f"{name}.npz", buffer.getvalue())
        except (OSError, EdgenetError):  # without the cache the next run computes them again
            return
