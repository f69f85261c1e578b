"""Keys and signatures of bundles: the maker signs with an Ed25519 key, and a device runs only what that key signed.

The keys are files in the formats that openssl writes too (PEM; PKCS #8 and SubjectPublicKeyInfo). Signing is done by
the library `cryptography`; what is signed, and how a device verifies it, is in `edgenet_device.signature`.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenet_device.foreign_text import is_number
from edgenet_device.signature import BundleSignature, key_name, signed_message

from edgenet.errors import EdgenetError
from edgenet.files import check_output, read_limited

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_ENDING = ".pub"
_LARGEST_KEY = 1 << 16
_NEW_KEY = "make a key pair with `edgenet new-key FILE`"


@dataclass(frozen=True)
class Signer:
    """Who signs, and when.

    Attributes:
        key: the public key, 32 bytes.
        signed_at: the time of signing that the manifest gets, seconds since 1970.
        private: the private key, as `cryptography` holds it.
    """

    key: bytes
    signed_at: int
    private: Ed25519PrivateKey

    def sign(self, manifest: bytes) -> BundleSignature:
        """Return the signature of a manifest, from the bytes of its file."""
        return BundleSignature(self.key, self.private.sign(signed_message(manifest)))


@dataclass(frozen=True)
class KeyPair:
    """The two files of a new key pair.

    Attributes:
        private: path of the private key, which only this user can read.
        public: path of the public key, for `edgenet deploy --trust`.
        name: a short name of the pair, which devices and messages use.
    """

    private: str
    public: str
    name: str


def write_key_pair(path: Path) -> KeyPair:
    """Make a new key pair: the private key in `path` (mode 0600), the public one beside it, ending in .pub.

    Raises:
        EdgenetError: one of the files is there already, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    if not path.name:
        raise EdgenetError(
            "the path of the new key has no name", "give the path of a file that is not there yet"
        )
    public = path.with_name(path.name + PUBLIC_ENDING)
    check_output(path)
    for file in (path, public):
        if os.path.lexists(file):
            raise EdgenetError(f"{file} is there already", "a key is never overwritten; give another name")
    private_key = Ed25519PrivateKey.generate()
    key = private_key.public_key()
    _write_new(path, 0o600, private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write_new(public, 0o644, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return KeyPair(str(path), str(public), key_name(key.public_bytes_raw()))


def _write_new(path: Path, mode: int, data: bytes) -> None:
    try:
        # O_EXCL: never an existing file, also not one that appeared just now.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EdgenetError(f"cannot write {path}: {error.strerror}", "choose another folder") from None


def open_signer(path: str | Path) -> Signer:
    """Read a private key, to sign at the present time.

    The environment variable SOURCE_DATE_EPOCH (seconds since 1970) replaces the present time, for reproducible files.

    Raises:
        EdgenetError: the file cannot be read, is no private Ed25519 key, has a passphrase, or others can read it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = Path(path)
    data = _read_key(path)
    if b"PUBLIC KEY" in data:
        raise EdgenetError(
            f"{path} is a public key, and signing needs the private one", "give the file without .pub"
        )
    _check_private(path)
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        raise EdgenetError(
            f"the key {path} has a passphrase, which edgenet does not ask for", "remove it with openssl pkey"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a_key(path, "private", error) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise EdgenetError(f"{path} is not an Ed25519 key but another kind", _NEW_KEY)
    return Signer(key.public_key().public_bytes_raw(), _signing_time(), key)


def _check_private(path: Path) -> None:
    """Refuse a private key that other users can read, as ssh does."""
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise EdgenetError(f"other users can read the private key {path}", f"run chmod 600 {path}")


def _signing_time() -> int:
    stated = os.environ.get("SOURCE_DATE_EPOCH")
    if stated is None:
        return int(time.time())
    if not is_number(stated) or len(stated) > 11:
        raise EdgenetError(
            f"SOURCE_DATE_EPOCH is {stated!r:.40}", "set it to seconds since 1970, or unset it"
        )
    return int(stated)


def read_public_key(path: str | Path) -> bytes:
    """Return the 32 bytes of a public key from its file.

    Raises:
        EdgenetError: the file cannot be read or is no public Ed25519 key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    path = Path(path)
    data = _read_key(path)
    if b"PRIVATE KEY" in data:
        raise EdgenetError(
            f"{path} is a private key, which must not leave this computer", f"give {path}{PUBLIC_ENDING}"
        )
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a_key(path, "public", error) from None
    if not isinstance(key, Ed25519PublicKey):
        raise EdgenetError(f"{path} is not an Ed25519 key but another kind", _NEW_KEY)
    return key.public_bytes_raw()


def _read_key(path: Path) -> bytes:
    try:
        return read_limited(path, _LARGEST_KEY)
    except OSError as error:
        raise EdgenetError(f"cannot read the key {path}: {error.strerror}", _NEW_KEY) from None


def _not_a_key(path: Path, kind: str, error: Any) -> EdgenetError:
    return EdgenetError(
        f"{path} is not a {kind} key, or is cut off ({str(error).splitlines()[0]:.80})", _NEW_KEY
    )
