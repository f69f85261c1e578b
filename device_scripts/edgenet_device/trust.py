"""What this device trusts: the one key whose bundles it runs, and the newest bundle that it was given.

Without a file `trust.json` a device runs every model. With it, a device runs only bundles that this key has signed, and
none that was signed before the newest one that was installed: somebody who can replace files, but not sign, cannot
bring back an old bundle. `edgenet deploy --trust` writes the file; by hand it is `python -m edgenet_device
accept-bundle`.

It lies in edgenet's folder on the device, above the releases, or beside scripts that were copied by hand.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import json_text, read_json
from edgenet_device.signature import (
    KEY_BYTES,
    SIGNATURE_FILE,
    check_signature,
    from_base64,
    key_name,
    read_signature,
    to_base64,
)

TRUST_FILE = "trust.json"
SCHEMA = "edgenet.trust.v1"
_MOST_BYTES = 1 << 16
_SIGN = "sign it with `edgenet package --sign KEY`"


@dataclass(frozen=True)
class Trust:
    """The contents of trust.json.

    Attributes:
        key: the public key, 32 bytes.
        newest: time of signing of the newest bundle that was installed, seconds since 1970.
    """

    key: bytes
    newest: int


def trust_file() -> Path | None:
    """Return the path of the trust.json for the scripts that this file lies among; None if there is none."""
    scripts = Path(__file__).resolve().parents[1]
    places = [scripts]
    if scripts.parent.parent.name == "releases":  # HOME/releases/ID/device_scripts
        places.append(scripts.parent.parent.parent)
    # A link that leads nowhere counts: reading it then says what is wrong.
    return next((place / TRUST_FILE for place in places if os.path.lexists(place / TRUST_FILE)), None)


def read_key(text: str) -> bytes:
    """Return the bytes of a public key from its base64.

    Raises:
        EdgenetError: it is not one.
    """
    return from_base64(text, KEY_BYTES, "the key to trust")


def read_trust(path: Path | None) -> Trust | None:
    """Return what a trust.json says; None for no file.

    Raises:
        EdgenetError: the file is damaged. A device that has one must not run as if it had none.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            parts = read_json(file.read(_MOST_BYTES))
        newest = parts["newest"]
        right = parts["schema"] == SCHEMA and type(newest) is int
        key = from_base64(parts["key"], KEY_BYTES, "its key")
    except (OSError, ValueError, KeyError, TypeError, EdgenetError):
        right = False
    if not right:
        raise EdgenetError(
            f"{path} is damaged, so it is unknown whose bundles may run",
            "run edgenet deploy --trust KEY again",
        )
    return Trust(key, newest)


def write_trust(path: Path, trust: Trust) -> None:
    """Write a trust.json.

    Raises:
        EdgenetError: it cannot be written.
    """
    # Imported late: reading, which every start does, needs none of it.
    from edgenet_device.output_files import write_atomically

    parts = {"schema": SCHEMA, "key": to_base64(trust.key), "newest": trust.newest}
    write_atomically(path, (json_text(parts) + "\n").encode())


def check_trusted(
    trust: Trust, manifest: bytes, signed_at: Any, signature: bytes | None, older: bool = False
) -> int:
    """Check that a bundle was signed by the trusted key, and not before the newest one; return the time of signing.

    Args:
        trust: what the device trusts.
        manifest: the bytes of manifest.json.
        signed_at: what the manifest states as its time of signing.
        signature: the bytes of signature.json; None for a bundle that has none.
        older: accept an older bundle, because its owner goes back to it.

    Raises:
        EdgenetError: it was not; the message says why.
    """
    if signature is None:
        raise unsigned(trust)
    found = read_signature(signature)
    if found.key != trust.key:
        raise EdgenetError(
            f"the bundle was signed by the key {key_name(found.key)}, and this device trusts {key_name(trust.key)}",
            f"do not use it, or {_SIGN}",
        )
    at = check_signature(found, manifest, signed_at)
    if at < trust.newest and not older:
        raise EdgenetError(
            f"the bundle was signed {trust.newest - at:,} s before the newest one that this device was given",
            f"use the newer one, or {_SIGN} again; edgenet deploy --rollback goes back to the one before",
        )
    return at


def unsigned(trust: Trust) -> EdgenetError:
    """Return the error for a model without a signature."""
    return EdgenetError(
        f"the model has no {SIGNATURE_FILE}, and this device runs only bundles signed by {key_name(trust.key)}",
        _SIGN,
    )
