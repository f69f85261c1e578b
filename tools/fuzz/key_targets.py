"""Targets that read keys and what they sign: signature.json, trust.json, a key pair's files, the index of updates."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from tools.fuzz.mutations import TEXT, json_changed
from tools.fuzz.verdicts import Check, refusable
from tools.fuzz.workers import Target


@cache
def key_seeds() -> dict[str, bytes]:
    """Return a signature, what a device trusts, and both keys of a pair."""
    from edgenet_device.signature import write_signature
    from edgenet_device.trust import Trust, write_trust

    from edgenet.signing import open_signer, write_key_pair

    with tempfile.TemporaryDirectory() as name:
        pair = write_key_pair(Path(name) / "key")
        signer = open_signer(pair.private)
        write_trust(Path(name) / "trust.json", Trust(signer.key, 1))
        return {
            "signature": write_signature(signer.sign(b"{}")),
            "trust": (Path(name) / "trust.json").read_bytes(),
            "private": Path(pair.private).read_bytes(),
            "public": Path(pair.public).read_bytes(),
        }


def keys(folder: Path) -> Check:
    """Read the input as each of the four kinds; it is taken if one of them takes it."""
    from edgenet_device.signature import check_signature, read_signature
    from edgenet_device.trust import read_trust

    from edgenet.signing import open_signer, read_public_key

    path = folder / "key"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        path.chmod(0o600)
        taken = [
            refusable(lambda: read_trust(path)),
            refusable(lambda: open_signer(path)),
            refusable(lambda: read_public_key(path)),
        ]
        if not any(taken):
            refusable(lambda: check_signature(read_signature(data), b"{}", 1))
            read_signature(data)

    return check


@cache
def update_seeds() -> dict[str, bytes]:
    """Return an updates.json, and the state of a device's updates: nothing, and a trial."""
    from edgenet_device.updates.index import Index, index_text, signed_message, write_index
    from edgenet_device.updates.update import Trial, UpdateState, write_state

    with tempfile.TemporaryDirectory() as name:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.from_private_bytes(_SEED)
        text = index_text(Index("a.edgenet", "0" * 64, 1000, 1))
        file = Path(name) / "state.json"
        write_state(file, UpdateState(Trial("a", "b", "0" * 64, 1), {"1" * 64: "why"}))
        signature = key.sign(signed_message(text))
        index = write_index(text, key.public_key().public_bytes_raw(), signature)
        return {"index": index, "state": file.read_bytes()}


_SEED = b"edgenet's fuzz, 32 bytes of seed"


def updates(folder: Path) -> Check:
    """Read the input as an updates.json that is signed by its own key, and as a state, which is never refused."""
    from edgenet_device.foreign_text import read_json
    from edgenet_device.signature import KEY_BYTES, from_base64
    from edgenet_device.trust import Trust
    from edgenet_device.updates.index import read_index
    from edgenet_device.updates.update import read_state

    path = folder / "state.json"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        read_state(path)
        key = b""
        with suppress(Exception):
            key = from_base64(read_json(data)["key"], KEY_BYTES, "the key")
        read_index(data, Trust(key, 0))

    return check


TARGETS = (
    Target(
        "updates",
        "indexes and states of updates",
        ("edgenet_device.updates.index", "edgenet_device.updates.update"),
        update_seeds,
        (json_changed, *TEXT),
        updates,
    ),
    Target(
        "key",
        "keys, signatures and trust",
        ("edgenet_device.signature", "edgenet_device.trust", "edgenet.signing"),
        key_seeds,
        (json_changed, json_changed, *TEXT),
        keys,
    ),
)
