"""Ed25519 verification on the device, against RFC 8032's vectors, the library `cryptography`, and openssl."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from edgenet_device.signature import _ORDER, _P, is_valid

# RFC 8032, section 7.1: TEST 1, 2, 3 and SHA(abc): public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b"
        "be24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430"
        "2aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716e"
        "d28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643c"
        "e80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138a"
        "c17ad9bef1177331a704",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_vectors_of_the_standard(key: str, message: str, signature: str) -> None:
    parts = [bytes.fromhex(text) for text in (key, message, signature)]
    assert is_valid(*parts)
    for number, part in enumerate(parts):
        for place in range(0, len(part), 7):
            changed = bytearray(part)
            changed[place] ^= 1 << place % 8
            assert not is_valid(*parts[:number], bytes(changed), *parts[number + 1 :])
    assert not is_valid(parts[0], parts[1] + b"\0", parts[2])


@pytest.mark.parametrize("size", [0, 31, 33, 63, 65])
def test_other_sizes_are_not_valid(size: int) -> None:
    key, message, signature = (bytes.fromhex(text) for text in VECTORS[0])
    assert not is_valid(bytes(size), message, signature)
    assert not is_valid(key, message, bytes(size))


def accepts(key: bytes, message: bytes, signature: bytes) -> bool:
    """Return what `cryptography` says."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_random_keys_and_changed_bits_as_cryptography_judges_them() -> None:
    rng = random.Random(1)
    for _ in range(60):
        private = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        key, message = private.public_key().public_bytes_raw(), rng.randbytes(rng.randrange(200))
        signature = private.sign(message)
        assert is_valid(key, message, signature)
        changed = [bytearray(part) for part in (key, message + b"x", signature)]
        part = rng.choice((0, 2))
        changed[part][rng.randrange(len(changed[part]))] ^= 1 << rng.randrange(8)
        given = (bytes(changed[0]), message, bytes(changed[2]))
        assert is_valid(*given) == accepts(*given) == False  # noqa: E712


def test_a_second_signature_made_from_a_valid_one_is_refused() -> None:
    """S plus the group's order satisfies the equation, too; and a y of p + 1 is another encoding of y = 1."""
    key, message, signature = (bytes.fromhex(text) for text in VECTORS[2])
    factor = int.from_bytes(signature[32:], "little") + _ORDER
    twin = signature[:32] + factor.to_bytes(32, "little")
    assert not is_valid(key, message, twin)
    assert not accepts(key, message, twin)
    assert not is_valid((_P + 1).to_bytes(32, "little"), message, signature)
    assert not is_valid((1 | 1 << 255).to_bytes(32, "little"), message, signature)  # x = 0 has no negative


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_signature_of_openssl(tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(b"a bundle")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    openssl("genpkey", "-algorithm", "ed25519", "-out", "key")
    openssl("pkey", "-in", "key", "-pubout", "-out", "key.pub")
    openssl("pkeyutl", "-sign", "-inkey", "key", "-rawin", "-in", "message", "-out", "signature")
    key = load_pem_public_key((tmp_path / "key.pub").read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    assert is_valid(key.public_bytes_raw(), b"a bundle", (tmp_path / "signature").read_bytes())
