"""The index of a folder of updates: the file `updates.json`, which says which bundle is the newest, and is signed.

    {"schema": "edgenet.updates.v1", "index": "{...}", "key": BASE64, "signature": BASE64}

The text "index" is what is signed (Ed25519): {"bundle": FILE NAME, "sha256": ..., "size": ..., "signed_at": ...}. The
bundle itself is signed, too, by the same key; `signed_at` is the time in its manifest, by which a device knows an older
one. `edgenet publish` writes both files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import json_text, read_json
from edgenet_device.model_file import MOST_BYTES
from edgenet_device.signature import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    from_base64,
    is_valid,
    key_name,
    to_base64,
)
from edgenet_device.trust import Trust

INDEX_FILE = "updates.json"
SCHEMA = "edgenet.updates.v1"
MOST_INDEX_BYTES = 1 << 16
# What is signed begins with this, so that a signature made for something else is never one of an index.
_PURPOSE = b"edgenet.updates.v1\0"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}\.edgenet")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LATEST = 1 << 40
_AGAIN = "publish the update again: edgenet publish BUNDLE DIR --sign KEY"


@dataclass(frozen=True)
class Index:
    """The newest update of a folder.

    Attributes:
        bundle: the bundle's file name, in the same folder.
        sha256: its SHA-256, hexadecimal.
        size: its size in bytes.
        signed_at: when the bundle was signed, seconds since 1970; a later one is newer.
    """

    bundle: str
    sha256: str
    size: int
    signed_at: int


def index_text(index: Index) -> str:
    """Return the text of an index that is signed."""
    return json_text(vars(index))


def signed_message(text: str) -> bytes:
    """Return the bytes that the signature of an index signs."""
    return _PURPOSE + text.encode()


def write_index(text: str, key: bytes, signature: bytes) -> bytes:
    """Return the contents of updates.json.

    Args:
        text: from `index_text`.
        key: the public key, 32 bytes.
        signature: the signature of `signed_message`, 64 bytes.
    """
    parts = {"schema": SCHEMA, "index": text, "key": to_base64(key), "signature": to_base64(signature)}
    return (json_text(parts) + "\n").encode()


def read_index(data: bytes, trust: Trust) -> Index:
    """Read an updates.json, and check that the trusted key has signed it and that it is not older than the newest one.

    Raises:
        EdgenetError: it is damaged, signed by another key, or older.
    """
    try:
        parts = read_json(data, MOST_INDEX_BYTES)
        if parts["schema"] != SCHEMA or not isinstance(parts["index"], str):
            raise ValueError("its schema is another one")
        key = from_base64(parts["key"], KEY_BYTES, "its key")
        signature = from_base64(parts["signature"], SIGNATURE_BYTES, "its signature")
    except (ValueError, KeyError, TypeError, EdgenetError) as error:
        raise EdgenetError(f"{INDEX_FILE} is no index of updates ({str(error)[:100]})", _AGAIN) from None
    if key != trust.key:
        raise EdgenetError(
            f"the updates are signed by the key {key_name(key)}, and this device trusts {key_name(trust.key)}",
            "sign them with the trusted key, or run edgenet deploy --trust with the new one",
        )
    if not is_valid(key, signed_message(parts["index"]), signature):
        raise EdgenetError(f"the signature in {INDEX_FILE} is not one of its index", _AGAIN)
    index = _index(parts["index"])
    if index.signed_at < trust.newest:
        raise EdgenetError(
            f"the update was signed {trust.newest - index.signed_at:,} s before the newest bundle that this device was "
            "given, so it is not installed",
            _AGAIN,
        )
    return index


def _index(text: str) -> Index:
    """Return what a signed text says."""
    try:
        parts: Any = read_json(text, MOST_INDEX_BYTES)
        index = Index(parts["bundle"], parts["sha256"], parts["size"], parts["signed_at"])
        sound = (
            _NAME.fullmatch(index.bundle)
            and _SHA256.fullmatch(index.sha256)
            and type(index.size) is int
            and 0 < index.size <= MOST_BYTES
            and type(index.signed_at) is int
            and 0 <= index.signed_at <= _LATEST
        )
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise EdgenetError(f"the index in {INDEX_FILE} is damaged although it is signed", _AGAIN)
    return index
