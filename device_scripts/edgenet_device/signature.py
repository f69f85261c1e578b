"""The signature of a bundle: the member `signature.json`, an Ed25519 signature of `manifest.json`.

The manifest has the SHA-256 of every other member, so the signature covers the whole bundle. It also has the time of
signing, `signed_at`, by which a device knows an older bundle (see `trust`).

Ed25519 (RFC 8032, section 5.1.7) is verified with nothing but Python, because a device has no other library.
Verifying handles no secret, so it may take a different time for different inputs; signing may not, and is not here.
It takes about 3 ms on a computer and a few hundredths of a second on a small Raspberry Pi. A signature is accepted if
R = SB - kA holds as encoded bytes. S must be below the group's order, and a key's encoding must be the only one of
its point, so that nobody can make a second signature out of a valid one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Any

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import json_text, read_json

SIGNATURE_FILE = "signature.json"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
SCHEMA = "edgenet.signature.v1"
# What is signed begins with this, so that a signature made for something else is never one of a bundle.
_PURPOSE = b"edgenet.bundle.v1\0"
_LATEST = 1 << 40
"""Seconds since 1970, far in the future; a larger time is none."""
_AGAIN = "fetch the bundle again"


@dataclass(frozen=True)
class BundleSignature:
    """Who signed a bundle.

    Attributes:
        key: the public key, 32 bytes.
        signature: 64 bytes.
    """

    key: bytes
    signature: bytes


def signed_message(manifest: bytes) -> bytes:
    """Return the bytes that a bundle's signature signs, from the bytes of its manifest.json."""
    return _PURPOSE + manifest


def key_name(key: bytes) -> str:
    """Return a short name of a public key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:16]


def to_base64(data: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode()


def from_base64(text: Any, size: int, what: str) -> bytes:
    """Return the bytes of a base64 text of this many bytes.

    Raises:
        EdgenetError: it is not one.
    """
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != size or to_base64(data) != text:
        raise EdgenetError(f"{what} is not base64 of {size} bytes", _AGAIN)
    return data


def write_signature(signature: BundleSignature) -> bytes:
    """Return the contents of signature.json."""
    parts = {
        "schema": SCHEMA,
        "key": to_base64(signature.key),
        "signature": to_base64(signature.signature),
    }
    return (json_text(parts) + "\n").encode()


def read_signature(text: bytes) -> BundleSignature:
    """Read signature.json.

    Raises:
        EdgenetError: it is not what `write_signature` writes.
    """
    try:
        parts = read_json(text)
    except ValueError:
        parts = None
    if not isinstance(parts, dict) or parts.get("schema") != SCHEMA or len(parts) != 3:
        raise EdgenetError(f"{SIGNATURE_FILE} is not a signature of this version ({SCHEMA})", _AGAIN)
    return BundleSignature(
        from_base64(parts.get("key"), KEY_BYTES, f"the key in {SIGNATURE_FILE}"),
        from_base64(parts.get("signature"), SIGNATURE_BYTES, f"the signature in {SIGNATURE_FILE}"),
    )


def check_signature(signature: BundleSignature, manifest: bytes, signed_at: Any) -> int:
    """Check that a signature is one of this manifest, by the key that it names; return the time of signing.

    Args:
        signature: what signature.json says.
        manifest: the bytes of manifest.json.
        signed_at: what the manifest has there: seconds since 1970.

    Raises:
        EdgenetError: it is another manifest's signature, or damaged, or the manifest has no time of signing.
    """
    # Imported late: a device that trusts no key must not take longer for this.

    if not is_valid(signature.key, signed_message(manifest), signature.signature):
        raise EdgenetError(
            f"the signature is not one of this bundle by the key {key_name(signature.key)}",
            "do not use this file, and fetch the bundle again",
        )
    if type(signed_at) is not int or not 0 <= signed_at <= _LATEST:
        raise EdgenetError("the manifest of the signed bundle has no time of signing", "sign it again")
    return signed_at


_Point = tuple[int, int, int, int]
"""Extended coordinates X, Y, Z, T of a point x = X/Z, y = Y/Z, xy = T/Z."""

_BYTES = 32
"""Bytes of a number or of an encoded point."""
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_1 = pow(2, (_P - 1) // 4, _P)
_NEUTRAL: _Point = (0, 1, 1, 0)


def is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether this is a signature of the message by the owner of a public key.

    Args:
        key: the public key, 32 bytes; another length is never valid.
        message: what was signed.
        signature: the encoded point R and the number S, 64 bytes; another length is never valid.
    """
    if len(key) != _BYTES or len(signature) != 2 * _BYTES:
        return False
    point = _decoded(key)
    factor = int.from_bytes(signature[32:], "little")
    if point is None or factor >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    x, y, z, t = point
    negative = (_P - x, y, z, _P - t)
    return _encoded(_sum(_multiple(factor, _BASE), _multiple(challenge, negative))) == signature[:32]


def _sum(one: _Point, other: _Point) -> _Point:
    """Add two points, which may be equal (RFC 8032, section 5.1.4)."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiple(number: int, point: _Point) -> _Point:
    total = _NEUTRAL
    while number:
        if number & 1:
            total = _sum(total, point)
        point = _sum(point, point)
        number >>= 1
    return total


def _encoded(point: _Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(_BYTES, "little")


def _decoded(encoded: bytes) -> _Point | None:
    """Return the point, or None if the bytes are not the encoding of one (RFC 8032, section 5.1.3)."""
    number = int.from_bytes(encoded, "little")
    y, odd = number & ((1 << 255) - 1), number >> 255
    if y >= _P:
        return None
    x = _x_of(y)
    if x is None or (x == 0 and odd):
        return None
    if x & 1 != odd:
        x = _P - x
    return x, y, 1, x * y % _P


def _x_of(y: int) -> int | None:
    """Return one of the two x of the curve's points with this y; None if there is no such point."""
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_1 % _P
    return x if (x * x - square) % _P == 0 else None


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_BASE_X = min(x for x in (_x_of(_BASE_Y) or 0, _P - (_x_of(_BASE_Y) or 0)) if x % 2 == 0)
_BASE: _Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
