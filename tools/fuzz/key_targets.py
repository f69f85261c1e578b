"""Target that reads keys and signatures: signature.json, trust.json, and the files of a key pair."""

from __future__ import annotations

import tempfile
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


TARGETS = (
    Target(
        "key",
        "keys, signatures and trust",
        ("edgenet_device.signature", "edgenet_device.trust", "edgenet.signing"),
        key_seeds,
        (json_changed, json_changed, *TEXT),
        keys,
    ),
)
