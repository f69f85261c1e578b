"""Is this a sensible set to calibrate with? What can be known of it without labels, told as warnings.

The limits were chosen on sets seen by ImageNet's V1 and V2 at 224 pixels, medians over the photos of a set:

    | | neighbours alike | one tone | network's spread, V1 and V2 |
    |---|---|---|---|
    | ImageNet (500) | 0.97 | 11 % | 0.04 and 0.07 |
    | calibration_data (111) | 0.97 | 11 % | 0.25 and 0.33 |
    | CIFAR-10, enlarged | 1.00 | 12 % | 0.43 and 0.49 |
    | noise | 0.00 | 5 % | 0.47 and 0.73 |
    | digits on plain paper | 1.00 | 86 % | 0.48 and 0.73 |
    | drawings | 0.92 | 88 % | 0.47 and 0.52 |
    | pages of text | 0.58 | 78 % | 0.57 and 0.89 |
    | photos at a sixteenth of their light | 0.97 | 64 % | 0.42 and 0.65 |
    | plain colours | - | 100 % | 0.77 and 0.85 |

(All below CIFAR-10 was drawn or computed for this.)

How few photos are too few, with torchvision's V2; those of ImageNet's photos judge that did not calibrate: `edgenet
convert mobilenet_v2_1.0_224 --recipe fast --calibration imagenet-sample-500.zip --photos N --data
imagenet-sample-500.zip --json`:

    | photos | agrees with float | SQNR of the logits | top-1 lost, points (95 % interval) |
    |---|---|---|---|
    | 1 of calibration_data | 63.6 % | 8.4 dB | 23.2 (18.8 to 27.5) |
    | 1 | 74.3 % | 8.3 dB | 11.6 (7.9 to 15.3) |
    | 8 | 94.3 % | 18.3 dB | 1.6 (-0.1 to 3.4) |
    | 32 | 97.0 % | 21.8 dB | 0.2 (-1.3 to 1.8) |
    | 100 | 97.8 % | 22.4 dB | 0.5 (-0.7 to 1.7) |

All are hints: a set may pass and be the wrong one, because networks are sure of themselves on what they do not know.
Held-out photos of a wrong set do not show it: calibrated with 32 pictures of noise, V2 agreed with float on all
held-out noise (33 dB), and on 40 % of ImageNet's photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenet.data.choose import evenly
from edgenet.data.near_duplicates import SAME_HASH, difference_hash
from edgenet.errors import EdgenetError

NO_CONTRAST = 2.0
"""Standard deviation of the grey levels, of 255; the flattest of 611 real photos at 224 pixels has 19.6."""
NOISE = 0.5
"""Correlation of horizontal neighbours; at 64 pixels half of the real photos have 0.91 or more."""
ONE_TONE = 0.5
"""Share of the pixels in the most frequent of 32 grey levels."""
NO_COLOUR = 2.0
"""Mean distance of the largest from the smallest of R, G and B."""
SPREAD = 0.6
"""Entropy of the network's probabilities over that of equal ones."""
MANY_CLASSES = 100
"""With fewer classes even a network that knows the photos may spread its probability over all of them."""
SHARE = 0.1
"""Of a set, so much may be flat, or like another photo, before it is told."""
SAMPLE = 64
FEW = 25
"""Photos; see the table above."""

HINT = "a hint only: nobody can know without labels"


@dataclass(frozen=True)
class _Looks:
    """What the photos look like, an array [n] each: see the limits above."""

    contrast: NDArray[np.float64]
    neighbours: NDArray[np.float64]
    tone: NDArray[np.float64]
    colour: NDArray[np.float64]


def calibration_warnings(
    images: NDArray[np.uint8], repeats: int, logits: NDArray[np.float32]
) -> tuple[str, ...]:
    """What should be told of a calibration set, a sentence each.

    Args:
        images: its photos, uint8 RGB [n, H, W, 3].
        repeats: files that were left out as copies of others.
        logits: the float network's, on any of the photos [m, N].

    Raises:
        EdgenetError: no photo has any contrast: V2 calibrated with 32 plain colours fell from 82 to 25 % top-1.
    """
    looks = _looks(images[evenly(len(images), SAMPLE)])
    flat = looks.contrast < NO_CONTRAST
    if flat.all():
        raise EdgenetError(
            f"none of the {len(images)} calibration photos has any contrast, each is of one colour",
            "give photos like those the camera will see",
        )
    told = [_of_copies(repeats), _of_flat(int(flat.sum()), len(flat)), _of_alike(images)]
    told += [_of_noise(looks), _of_tone(looks), _of_colour(looks), _of_scores(logits)]
    return tuple(warning for warning in told if warning)


def few_photos(count: int) -> tuple[str, ...]:
    """What it costs to calibrate with so few photos."""
    if count >= FEW:
        return ()
    return (
        f"only {count} photo{'s' * (count != 1)} calibrated: ranges seen on so few are too narrow for others, whose "
        "larger values are cut off; V2 kept 64 to 74 % of its answers with 1 photo, 94 % with 8, 97 % with 32 and "
        "98 % with 100",
    )


def _looks(images: NDArray[np.uint8]) -> _Looks:
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    return _Looks(
        contrast=np.array([grey.std() for grey in greys]),
        neighbours=np.array([_neighbours(grey) for grey in greys]),
        tone=np.array([np.bincount(grey.ravel() >> 3).max() / grey.size for grey in greys]),
        colour=np.array([float((image.max(axis=2) - image.min(axis=2)).mean()) for image in images]),
    )


def _neighbours(grey: NDArray[np.uint8]) -> float:
    """The correlation of every pixel with the one to its right; 1 where there is nothing to correlate."""
    left, right = (side.astype(np.float64).ravel() for side in (grey[:, :-1], grey[:, 1:]))
    left, right = left - left.mean(), right - right.mean()
    energy = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / energy if energy > 0 else 1.0


def _of_copies(repeats: int) -> str:
    if not repeats:
        return ""
    return (
        f"{repeats} calibration file{'s are copies' if repeats > 1 else ' is a copy'} of others and left out"
    )


def _of_flat(flat: int, n: int) -> str:
    if flat <= SHARE * n:
        return ""
    return f"{flat} of {n} calibration photos have no contrast, each is of one colour: they add nothing"


def _of_alike(images: NDArray[np.uint8]) -> str:
    """Near copies by the difference hash, whose bits as +1 and -1 have the scalar product 64 - 2 * distance."""
    hashes = np.stack([difference_hash(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in images])
    signs = np.where(hashes, 1, -1).astype(np.float32)
    distance = (signs.shape[1] - signs @ signs.T) / 2
    alike = int((np.tril(distance <= SAME_HASH, -1)).any(axis=1).sum())
    if alike <= SHARE * len(images):
        return ""
    return (
        f"{alike} of {len(images)} calibration photos look nearly like another of them and add little; "
        "take different things, places and light"
    )


def _of_noise(looks: _Looks) -> str:
    if np.median(looks.neighbours) >= NOISE:
        return ""
    return f"the calibration photos look like noise: neighbouring pixels have little in common ({HINT})"


def _of_tone(looks: _Looks) -> str:
    tone = float(np.median(looks.tone))
    if tone <= ONE_TONE:
        return ""
    return (
        f"{tone:.0%} of a typical calibration photo is of one tone: these may be drawings, scans or too dark, and not "
        f"what the camera will see ({HINT})"
    )


def _of_colour(looks: _Looks) -> str:
    if (looks.colour >= NO_COLOUR).any():
        return ""
    return (
        f"no calibration photo has any colour; if the camera sees colours, add photos that have them ({HINT})"
    )


def _of_scores(logits: NDArray[np.float32]) -> str:
    classes = logits.shape[1]
    if classes < MANY_CLASSES:
        return ""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(np.maximum(shares, 1e-30))).sum(axis=1)
    if np.median(entropy) / np.log(classes) <= SPREAD:
        return ""
    return (
        f"the float network recognises little on the calibration photos: its best class has "
        f"{np.median(shares.max(axis=1)):.0%} on a typical one; they may not be what it was trained for ({HINT})"
    )
