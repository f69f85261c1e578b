"""A device that trusts a key, from `deploy` to `rollback`: this machine, with a home of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgenet_device.trust import read_trust
from ready_environments import environment_key, write_environment
from tiny_model import tiny_model
from virtual_devices import COLOURS

from edgenet.bundle import write_bundle
from edgenet.devices.local import LocalDevice
from edgenet.errors import EdgenetError
from edgenet.manifest import Facts, Weights
from edgenet.signing import Signer, open_signer, write_key_pair
from edgenet.workflows.deploy import deploy, rollback

pytestmark = pytest.mark.slow
FACTS = Facts("colours", Weights("made for a test", "Apache-2.0"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """edgenet's folder on this machine, with an environment: test_openssh.py makes a real one."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    home = tmp_path / "data" / "edgenet"
    write_environment(home, environment_key(LocalDevice()))
    return home


def bundle(folder: Path, name: str, signer: Signer | None) -> Path:
    path = folder / f"{name}.edgenet"
    write_bundle(path, tiny_model(size=32), list(COLOURS), FACTS, signer=signer)
    return path


def test_a_device_that_trusts_a_key(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, stranger = (write_key_pair(tmp_path / name) for name in ("maker.key", "stranger.key"))
    signers = {}
    for name, key, time in (("old", pair, "1000"), ("new", pair, "2000"), ("strange", stranger, "3000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", time)
        signers[name] = open_signer(key.private)
    unsigned, old, new, strange = (
        bundle(tmp_path, name, signers.get(name)) for name in ("unsigned", "old", "new", "strange")
    )
    trust = home / "trust.json"

    first = deploy(unsigned, "local")
    assert not trust.exists()
    assert deploy(old, "local", trust=pair.public).trusts == pair.name
    assert deploy(new, "local").trusts is None
    assert read_trust(trust).newest == 2000
    running = (home / "current").readlink()

    for path, found in ((unsigned, "has no signature.json"), (old, "before the newest"), (strange, "trusts")):
        with pytest.raises(EdgenetError, match=found) as caught:
            deploy(path, "local")
        assert "\n" not in str(caught.value)
        assert ((home / "current").readlink(), read_trust(trust).newest) == (running, 2000)

    assert rollback("local").release != first.release
    assert read_trust(trust).newest == 1000
    assert rollback("local").swapped
    assert ((home / "current").readlink(), read_trust(trust).newest) == (running, 2000)

    # Another key, and back to the release of nobody, which is refused before the link changes.
    assert deploy(strange, "local", trust=stranger.public).trusts == stranger.name
    with pytest.raises(EdgenetError, match="does not accept the bundle"):
        rollback("local")
    assert deploy(strange, "local").swapped is False
