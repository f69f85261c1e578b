"""Warns about an unsuitable set of calibration photos, as far as that can be seen without labels.

The limits were chosen on the sets below, run through ImageNet's V1 and V2 at 224 pixels. The figures are
medians over the photos of a set:

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

(All sets below CIFAR-10 were drawn or computed for this table.)

How few photos are too few was measured with torchvision's V2, on the ImageNet photos that were not used for
calibration: `edgenet convert mobilenet_v2_1.0_224 --recipe fast --calibration imagenet-sample-500.zip
--photos N --data imagenet-sample-500.zip --json`:

    | photos | agrees with float | SQNR of the logits | top-1 lost, points (95 % interval) |
    |---|---|---|---|
    | 1 of calibration_data | 63.6 % | 8.4 dB | 23.2 (18.8 to 27.5) |
    | 1 | 74.3 % | 8.3 dB | 11.6 (7.9 to 15.3) |
    | 8 | 94.3 % | 18.3 dB | 1.6 (-0.1 to 3.4) |
    | 32 | 97.0 % | 21.8 dB | 0.2 (-1.3 to 1.8) |
    | 100 | 97.8 % | 22.4 dB | 0.5 (-0.7 to 1.7) |

How sure the network must be of the photos was measured with the same V2, whose best class has 92 % on a typical photo
of ImageNet, and 43 % on one of calibration_data. Its logits have room for half as much again as the calibration photos
show. If only those photos of calibration_data calibrate of which it is least sure, the two highest logits are both cut
off on this share of 250 ImageNet photos, so that their classes tie:

    | photos | best class on a typical one | highest logit, with room (37.4 on ImageNet) | both cut off |
    |---|---|---|---|
    | 10 | 14 % | 13.8 | 47.2 % |
    | 30 | 20 % | 16.5 | 24.0 % |
    | 50 | 27 % | 20.8 | 4.8 % |
    | 70 | 31 % | 25.2 | 0.4 % |
    | 90 | 36 % | 25.5 | 0.0 % |
    | 100 | 43 % | 34.9 | 0.0 % |

All warnings are hints: an unsuitable set may pass, because networks can be confident about things they do not
know. Held-out photos from an unsuitable set do not reveal it: calibrated with 32 pictures of noise, V2 agreed
with float on all held-out noise (33 dB), but on only 40 % of ImageNet's photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from edgenet_device.collecting.collector import difference_hash
from numpy.typing import NDArray

from edgenet.data.loading import evenly
from edgenet.errors import EdgenetError

NO_CONTRAST = 2.0
"""Standard deviation of the grey levels, 0 to 255; of 611 real photos at 224 pixels the flattest has 19.6."""
NOISE = 0.5
"""Correlation of horizontally neighbouring pixels; at 64 pixels half of the real photos have 0.91 or more."""
ONE_TONE = 0.5
"""Share of the pixels that have the most frequent of 32 grey levels."""
NO_COLOUR = 2.0
"""Mean difference between a pixel's largest and smallest value of R, G and B."""
SPREAD = 0.6
"""Entropy of the network's probabilities, divided by the entropy of equal probabilities."""
SAME_HASH = 8
"""Copies of a photo differ in at most this many bits of `difference_hash`; different photos differ in 16 or more."""
MANY_CLASSES = 100
"""With fewer classes even a network that knows the photos may spread its probability over all of them."""
HARDLY_SURE = 0.3
"""Probability of the best class on a typical photo, below which the logits' room may not do; see the third table."""
SHARE = 0.1
"""Share of a set that may be flat, or nearly like another photo, without a warning."""
SAMPLE = 64
FEW = 25
"""Fewer photos than this cause a warning; see the second table above."""
HINT = "only a hint: without labels this is not certain"


@dataclass(frozen=True)
class _PhotoMeasures:
    """One measure per photo, each an array [n]; the limits above say what each one is."""

    contrast: NDArray[np.float64]
    neighbours: NDArray[np.float64]
    tone: NDArray[np.float64]
    colour: NDArray[np.float64]


def calibration_warnings(
    images: NDArray[np.uint8], repeats: int, logits: NDArray[np.float32]
) -> tuple[str, ...]:
    """Return the warnings about a calibration set, one sentence each.

    Args:
        images: the set's photos, uint8 RGB [n, H, W, 3].
        repeats: number of files that were left out as copies of others.
        logits: the float network's logits on any of the photos, float32 [m, N].

    Raises:
        EdgenetError: no photo has any contrast. (V2 calibrated with 32 plain colours fell from 82 to 25 %
            top-1.)
    """
    looks = _looks(images[evenly(len(images), SAMPLE)])
    flat = looks.contrast < NO_CONTRAST
    if flat.all():
        raise EdgenetError(
            f"none of the {len(images)} calibration photos has any contrast: each is a single colour",
            "give photos like those the camera will see",
        )
    warnings = [_of_copies(repeats), _of_flat(int(flat.sum()), len(flat)), _of_alike(images)]
    warnings += [_of_noise(looks), _of_tone(looks), _of_colour(looks), _of_scores(logits)]
    return tuple(warning for warning in warnings if warning)


def few_photos(count: int) -> tuple[str, ...]:
    """Return a warning if fewer than FEW photos calibrated, else nothing."""
    if count >= FEW:
        return ()
    return (
        f"only {count} photo{'s' * (count != 1)} calibrated: ranges seen on so few are too narrow, and larger values "
        "on other photos are cut off; V2 kept 64 to 74 % of its answers with 1 photo, 94 % with 8, 97 % with 32 and "
        "98 % with 100",
    )


def _looks(images: NDArray[np.uint8]) -> _PhotoMeasures:
    images = images[:, ::2]  # every second row says as much
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    return _PhotoMeasures(
        contrast=np.array([grey.std() for grey in greys]),
        neighbours=np.array([_neighbours(grey) for grey in greys]),
        tone=np.array([np.bincount(grey.ravel() >> 3).max() / grey.size for grey in greys]),
        colour=np.array([float((image.max(axis=2) - image.min(axis=2)).mean()) for image in images]),
    )


def _neighbours(grey: NDArray[np.uint8]) -> float:
    """Return the correlation between each pixel and its right neighbour; 1 if all pixels are equal."""
    left, right = (side.astype(np.float64).ravel() for side in (grey[:, :-1], grey[:, 1:]))
    left, right = left - left.mean(), right - right.mean()
    energy = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / energy if energy > 0 else 1.0


def _of_copies(repeats: int) -> str:
    if not repeats:
        return ""
    return f"{repeats} calibration file{'s are copies' if repeats > 1 else ' is a copy'} of others: left out"


def _of_flat(flat: int, n: int) -> str:
    if flat <= SHARE * n:
        return ""
    return f"{flat} of {n} calibration photos have no contrast (each is a single colour) and add nothing"


def _of_alike(images: NDArray[np.uint8]) -> str:
    """Warn about near copies, found by the difference hash.

    With a hash's 64 bits as +1 and -1, the scalar product of two hashes is 64 - 2 * their Hamming distance.
    """
    hashes = np.stack([difference_hash(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in images])
    signs = np.where(hashes, 1, -1).astype(np.float32)
    distance = (signs.shape[1] - signs @ signs.T) / 2
    alike = int((np.tril(distance <= SAME_HASH, -1)).any(axis=1).sum())
    if alike <= SHARE * len(images):
        return ""
    return (
        f"{alike} of {len(images)} calibration photos look nearly the same as another one and add little; "
        "take different things, places and light"
    )


def _of_noise(looks: _PhotoMeasures) -> str:
    if np.median(looks.neighbours) >= NOISE:
        return ""
    return f"the calibration photos look like noise: neighbouring pixels have little in common ({HINT})"


def _of_tone(looks: _PhotoMeasures) -> str:
    tone = float(np.median(looks.tone))
    if tone <= ONE_TONE:
        return ""
    return (
        f"{tone:.0%} of a typical calibration photo is a single tone: the photos may be drawings, scans or too dark, "
        f"unlike what the camera will see ({HINT})"
    )


def _of_colour(looks: _PhotoMeasures) -> str:
    if (looks.colour >= NO_COLOUR).any():
        return ""
    return (
        f"no calibration photo has any colour; if the camera sees colours, add photos with colours ({HINT})"
    )


def _of_scores(logits: NDArray[np.float32]) -> str:
    """Warn if the network recognises little in the photos, or too little to show how high its logits go."""
    classes = logits.shape[1]
    if classes < MANY_CLASSES:
        return ""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(np.maximum(shares, 1e-30))).sum(axis=1)
    best = float(np.median(shares.max(axis=1)))
    if np.median(entropy) / np.log(classes) <= SPREAD:
        return _of_certainty(best)
    return (
        f"the float network recognises little in the calibration photos: its best class has "
        f"{best:.0%} on a typical photo; the network may not be trained for such photos ({HINT})"
    )


def _of_certainty(best: float) -> str:
    """Warn about photos on which the network is not sure: others may bring higher logits than these ever show."""
    if best >= HARDLY_SURE:
        return ""
    return (
        f"the calibration photos do not show the network's range: its best class has {best:.0%} on a typical photo, "
        f"less than {HARDLY_SURE:.0%}; on photos that it knows, its logits may be so high that int8 cuts them off and "
        f"classes tie; calibrate with photos of things that the network was trained for ({HINT})"
    )
