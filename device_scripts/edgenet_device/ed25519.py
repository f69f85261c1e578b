"""Verifies Ed25519 signatures (RFC 8032, section 5.1.7) with nothing but Python, because a device has no other library.

Verifying handles no secret, so it may take a different time for different inputs; signing may not, and is not here. It
takes about 3 ms on a computer and a few hundredths of a second on a small Raspberry Pi.

A signature is accepted if R = SB - kA holds as encoded bytes. S must be below the group's order, and a key's encoding
must be the only one of its point, so that nobody can make a second signature out of a valid one.
"""

from __future__ import annotations

import hashlib

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
