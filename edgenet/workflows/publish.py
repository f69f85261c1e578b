"""Signed bundles: `new_key` makes the keys, and `publish` the folder from which devices fetch their updates."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.signature import key_name
from edgenet_device.trust import Trust
from edgenet_device.updates.index import (
    INDEX_FILE,
    MOST_INDEX_BYTES,
    Index,
    index_text,
    read_index,
    signed_message,
    write_index,
)

from edgenet.bundle import sign_bundle
from edgenet.errors import EdgenetError
from edgenet.files import make_folder, read_limited, sha256, write_atomically
from edgenet.signing import KeyPair, Signer, open_signer, write_key_pair
from edgenet.workflows.arguments import checked


@dataclass(frozen=True)
class Published:
    """What `publish` wrote.

    Attributes:
        folder: the folder to serve.
        bundle: path of the signed bundle in it.
        index: path of its updates.json.
        sha256: the bundle's SHA-256.
        signed_at: time of signing, seconds since 1970.
        signed_by: name of the key.
    """

    folder: str
    bundle: str
    index: str
    sha256: str
    signed_at: int
    signed_by: str


@checked
def publish(bundle: str | Path, folder: str | Path, *, sign: str | Path) -> Published:
    """Make a bundle the newest update of a folder, which a web server then hands out by HTTPS.

    >>> key = edgenet.new_key("publisher.key").private
    >>> edgenet.publish("small.edgenet", "updates", sign=key).index
    'updates/updates.json'

    The folder gets a copy of the bundle that is signed now, and a new index. Bundles that were published before stay:
    a device may be fetching one.

    Args:
        bundle: from `convert` or `package`, signed or not.
        folder: the folder to write to; made if it is missing.
        sign: the private key, from `new_key`; devices take only updates that are signed by the key they trust.

    Raises:
        EdgenetError: the bundle or the key cannot be used, or the folder holds updates of another key, or one that
            was signed later.
        TypeError: an argument has the wrong type.
    """
    signer = open_signer(sign)
    place = Path(folder)
    make_folder(place)
    _check_newest(place / INDEX_FILE, signer)
    unnamed = place / f".publishing-{os.getpid()}.edgenet"
    try:
        sign_bundle(bundle, unnamed, signer)
        digest, size = sha256(unnamed), unnamed.stat().st_size
        # The name tells the contents, so that no cache between can hand out an old file for a new one.
        path = place / f"{_plain(Path(bundle).stem)}-{digest[:12]}.edgenet"
        os.replace(unnamed, path)
    finally:
        unnamed.unlink(missing_ok=True)
    text = index_text(Index(path.name, digest, size, signer.signed_at))
    signature = signer.private.sign(signed_message(text))
    write_atomically(place / INDEX_FILE, write_index(text, signer.key, signature))
    return Published(
        str(place), str(path), str(place / INDEX_FILE), digest, signer.signed_at, key_name(signer.key)
    )


def _check_newest(path: Path, signer: Signer) -> None:
    """Refuse to replace an index of another key, or one that devices would find newer."""
    try:
        data = read_limited(path, MOST_INDEX_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "give another folder") from None
    try:
        newest = read_index(data, Trust(signer.key, 0)).signed_at
    except EdgenetError as error:
        raise EdgenetError(f"{path}: {error.found}", "give another folder, or remove that file") from None
    if newest > signer.signed_at:
        raise EdgenetError(
            f"the update in {path} was signed {newest - signer.signed_at:,} s later than now",
            "check this computer's clock",
        )


def _plain(name: str) -> str:
    """Return a file name's stem of plain characters, at most 60."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._+-") else "-" for c in name)[:60]
    return kept if kept[:1].isalnum() else f"bundle{kept}"


@checked
def new_key(path: str | Path) -> KeyPair:
    """Make a key pair to sign bundles with; `package` signs with the private key, and `deploy` trusts the public one.

    >>> edgenet.new_key("maker.key").public
    'maker.key.pub'

    Args:
        path: path of the private key (mode 0600); the public key gets the same name with the ending .pub.

    Raises:
        EdgenetError: one of the two files is there already, or cannot be written.
        TypeError: `path` is not a path.
    """
    return write_key_pair(Path(path))
