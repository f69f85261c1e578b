"""The order of a rollout: canaries, waves, and when it stops; test_fleet.py has it with real devices."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgenet.commands.app import app
from edgenet.devices.device import UnreachableError
from edgenet.devices.fleet_file import FleetDevice
from edgenet.errors import EdgenetError
from edgenet.workflows import fleet_deploy
from edgenet.workflows.fleet import FleetRow
from edgenet.workflows.fleet_deploy import deploy_fleet

ON = "ssh:a,ssh:b,ssh:c,ssh:d,ssh:e"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the devices that were deployed to; nothing reaches a device, and none is as wanted already."""
    names: list[str] = []

    def place(rollout: object, device: FleetDevice, progress: object) -> None:
        names.append(device.name.removeprefix("ssh:"))

    monkeypatch.setattr(fleet_deploy._Rollout, "ask", lambda self, devices: {})
    monkeypatch.setattr(fleet_deploy._Rollout, "place", place)
    return names


def failing(monkeypatch: pytest.MonkeyPatch, which: str, error: EdgenetError) -> None:
    place = fleet_deploy._Rollout.place

    def fails(rollout: object, device: FleetDevice, progress: object) -> None:
        place(rollout, device, progress)  # type: ignore[arg-type]
        if device.name == f"ssh:{which}":
            raise error

    monkeypatch.setattr(fleet_deploy._Rollout, "place", fails)


def states(rows: tuple[FleetRow, ...]) -> list[str]:
    return [row.state for row in rows]


def test_the_canary_comes_alone_and_the_rest_in_waves(tried: list[str], colours: Path) -> None:
    assert deploy_fleet(colours, ON, canaries=1, wave=2).complete
    assert (tried[0], set(tried[1:3]), set(tried[3:])) == ("a", {"b", "c"}, {"d", "e"})


@pytest.mark.parametrize(
    ("which", "keep_going", "expected"),
    [
        ("a", False, ["failed", *["not tried"] * 4]),
        ("b", False, ["as wanted already", "failed", "as wanted already", "not tried", "not tried"]),
        ("b", True, ["as wanted already", "failed", *["as wanted already"] * 3]),
    ],
)
def test_nothing_more_is_tried_after_a_wave_in_which_one_has_failed(
    tried: list[str],
    colours: Path,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    keep_going: bool,
    expected: list[str],
) -> None:
    failing(monkeypatch, which, EdgenetError("it does not start"))
    done = deploy_fleet(colours, ON, wave=2, keep_going=keep_going)
    assert states(done.rows) == expected
    assert not done.complete


def test_a_device_that_is_lost_stops_nothing(
    tried: list[str], colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "a", UnreachableError("it is lost"))
    assert states(deploy_fleet(colours, ON).rows) == ["unreachable", *["as wanted already"] * 4]


def test_devices_that_are_as_wanted_already_count_as_canaries(
    tried: list[str], colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"ssh:a": FleetRow("ssh:a", "ssh:a", "as wanted already")}
    monkeypatch.setattr(fleet_deploy._Rollout, "ask", lambda self, devices: dict(there))
    deploy_fleet(colours, ON, canaries=2, wave=3)
    assert (tried[0], set(tried[1:])) == ("b", {"c", "d", "e"})


def test_what_is_wrong_is_said_before_any_device_is_asked(colours: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="there are -1 canaries, waves of 8 and a check of 20 s"):
        deploy_fleet(colours, ON, canaries=-1)
    with pytest.raises(EdgenetError, match="there is no file"):
        deploy_fleet(tmp_path / "missing.edgenet", ON)
    with pytest.raises(EdgenetError, match="is not the address of a folder of updates"):
        deploy_fleet(colours, ON, arguments={"updates": "http://h"})
    for words, message in (
        (["--on", "ssh:a,ssh:a"], "ssh:a is given twice"),
        (["--on", str(tmp_path / "fleet.toml")], "cannot read the fleet"),
        (["--on", "ssh:a", "--wave", "0"], "--wave"),
    ):
        done = CliRunner().invoke(app, ["deploy", str(colours), *words])
        assert done.exit_code == 2, done.output
        assert message in done.output
