"""The signature of a bundle: the member `signature.json`, an Ed25519 signature of `manifest.json`.

The manifest has the SHA-256 of every other member, so the signature covers the whole bundle. It also has the time of
signing, `signed_at`, by which a device knows an older bundle (see `trust`).
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
    from edgenet_device.ed25519 import is_valid

    if not is_valid(signature.key, signed_message(manifest), signature.signature):
        raise EdgenetError(
            f"the signature is not one of this bundle by the key {key_name(signature.key)}",
            "do not use this file, and fetch the bundle again",
        )
    if type(signed_at) is not int or not 0 <= signed_at <= _LATEST:
        raise EdgenetError("the manifest of the signed bundle has no time of signing", "sign it again")
    return signed_at
