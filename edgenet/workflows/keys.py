"""The verb `new-key`: a key pair to sign bundles with."""

from __future__ import annotations

from pathlib import Path

from edgenet.signing import KeyPair, write_key_pair
from edgenet.workflows.arguments import checked


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
