"""The steps Try and Deploy of the studio's server: which commands they start, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from deploying_studio import deploying_studio
from edgenet_device.field.kept_photos import KeptPhotos
from edgenet_device.field.photo_facts import PhotoFacts
from edgenet_device.model_file import open_model
from field_facts import FACTS
from latency_reports import latency
from studio_client import Client, photo
from tiny_model import tiny_model

from edgenet.bundle import write_bundle
from edgenet.devices.ssh_connection import ssh_hosts
from edgenet.manifest import Facts, Weights
from edgenet.studio_app.deploy_routes import Latencies
from edgenet.studio_app.jobs import Job, Jobs
from edgenet.studio_app.try_routes import read_costs

RUN = "20261130-041500"
GIVEN = {"bundle": RUN, "threshold": 0.6, "source": "csi", "port": "8080"}


@pytest.fixture
def started(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that the server starts; none of them runs."""
    commands: list[list[str]] = []

    def start(self: Jobs, kind: str, arguments: Sequence[str], about: Any = None, **more: Any) -> Job:
        commands.append(list(arguments))
        return Job(1, kind, about)

    monkeypatch.setattr(Jobs, "start", start)
    client.studio.places.bundles.mkdir()
    facts = Facts("colours", Weights("made for a test", "Apache-2.0"))
    write_bundle(client.studio.places.bundles / f"{RUN}.edgenet", tiny_model(), ["a", "b", "c"], facts)
    return commands


def test_each_button_is_a_command(client: Client, started: list[list[str]]) -> None:
    places = client.studio.places
    bundle, pi = str(places.bundles / f"{RUN}.edgenet"), "--on=ssh:pi@pi"
    expected = {
        "measure": ["bench", bundle, pi, f"--out={places.root / 'latencies'}"],
        "install": ["deploy", bundle, pi],
        "rollback": ["deploy", "--rollback", pi],
        "status": ["status", pi],
        "watch": ["camera", bundle, pi, "--threshold=0.6", "--source=csi", "--serve=0"],
        "page": ["status", pi, "--page"],
        "collect": ["collect", pi, f"--data={places.photos}"],
    }
    for kind, words in expected.items():
        client.post("/api/deploy", {**GIVEN, "kind": kind, "on": "ssh:pi@pi"})
        assert started.pop() == words
    for running, word in ((True, "--start"), (False, "--stop")):
        client.post("/api/deploy", {**GIVEN, "kind": "switch", "on": "ssh:pi@pi", "running": running})
        assert started.pop() == ["configure", pi, word]
    client.post("/api/deploy", {**GIVEN, "kind": "install", "on": "ssh:pi@pi", "service": True, "keep": True})
    service = ["--service", "--source=csi", "--serve=8080", "--", "--threshold=0.6", "--keep-uncertain=200"]
    assert started.pop() == ["deploy", bundle, pi, *service]
    client.post("/api/deploy", {**GIVEN, "kind": "watch", "on": "adb:X1"})
    assert started.pop() == ["camera", bundle, "--on=adb:X1", "--threshold=0.6"]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"on": "--help"}, "'--help' is not a target"),
        ({"on": "/etc/fleet.toml"}, "'/etc/fleet.toml' is not a target"),
        ({"on": "browser"}, "the browser here is the step Try"),
        ({"bundle": "../x"}, "there is no such classifier any more"),
        ({"source": "@/etc/passwd"}, "this is no camera"),
        ({"source": "rtsp://me:secret@camera/live"}, "a password in the camera's URL would stand"),
        ({"port": "80 80"}, "'80 80' is no port"),
        ({"port": "70000"}, "'70000' is no port"),
        ({"threshold": "x"}, "the page sent something else than expected"),
        ({"kind": "format"}, "the page sent something else than expected"),
    ],
)
def test_what_is_no_device_or_option_starts_nothing(
    changed: dict[str, Any], found: str, client: Client, started: list[list[str]]
) -> None:
    request = {**GIVEN, "kind": "install", "on": "local", "service": True, **changed}
    assert client.refusal("/api/deploy", request).startswith(found)
    assert started == []


def test_photos_that_a_device_was_unsure_of_come_back_to_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATE_HOME", "CONFIG_HOME", "DATA_HOME", "CACHE_HOME"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    kept = KeptPhotos(tmp_path / "STATE_HOME" / "edgenet" / "field", 10**7)
    kept.keep(photo(), PhotoFacts(**{**FACTS.__dict__, "label": "cat"}), 0.0)
    with deploying_studio(tmp_path / "things", "local") as studio:
        assert studio.does("collect")["new"] == 1
        (one,) = studio.client.get("/api/state")["classes"]
        assert (one["label"], one["photos"]) == ("unlabelled", 1)


def test_only_the_pages_own_files_are_served(client: Client) -> None:
    for path in ("/page/site.py", "/page/..%2fsite.py", "/page/litert/x.wasm", "/page/page.css"):
        assert client.ask("GET", path)[0] == 404
    status, headers, script = client.ask("GET", "/page/preprocess.js")
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/javascript")
    assert b"CentreSquare" in script
    assert client.ask("GET", "/page/preprocess.js", If_None_Match=headers["etag"])[0] == 304


def test_a_threshold_hides_what_scores_below_it(tmp_path: Path) -> None:
    def photo(answer: int | None, confidence: float) -> dict[str, Any]:
        return {"class": 1, "answer": answer, "confidence": confidence}

    path = tmp_path / "report.json"
    photos = [photo(1, 0.9), photo(1, 0.6), photo(0, 0.5), photo(None, 0.0)]
    path.write_text(json.dumps({"photos": photos, "unknown": {"kept": 95, "false_alarms": 200}}))
    found = read_costs(path)
    assert found is not None
    assert (found["judged"], found["errors"], found["kept"], found["false_alarms"]) == (3, 1, 95, None)
    assert [found["right"][percent] for percent in (0, 60, 61, 90, 91, 100)] == [0, 0, 1, 1, 2, 2]
    assert [found["wrong"][percent] for percent in (50, 51)] == [0, 1]
    path.write_text('{"photos": [{"answer": null}]}')
    assert read_costs(path) is None
    assert read_costs(tmp_path / "missing.json") is None


def test_latencies_are_those_of_the_same_model(tmp_path: Path) -> None:
    model = tmp_path / "small.tflite"
    model.write_bytes(tiny_model())
    kept = Latencies(tmp_path)
    assert kept.of(model) == {}
    kept.folder.mkdir()
    own = latency(p50_ms=2.0)
    own["model"]["sha256"] = open_model(model).sha256
    (kept.folder / "one.json").write_text(json.dumps(own))
    (kept.folder / "other.json").write_text(json.dumps(latency(p50_ms=9.0, target="adb")))
    (kept.folder / "none.json").write_text("[]")
    (found,) = kept.of(model).items()
    assert found[0] == "ssh:pi@pi"
    assert found[1]["p50_ms"] == pytest.approx(2.0, abs=0.1)


def test_the_hosts_of_the_ssh_configuration_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EDGENET_SSH_CONFIG", raising=False)
    assert ssh_hosts() == []
    (tmp_path / ".ssh" / "more").mkdir(parents=True)
    (tmp_path / ".ssh" / "config").write_text(
        'Include more/*\n# Host commented\nHost pi "kitchen-pi" *.local !other\n  HostName 192.0.2.7\n'
        "host=door pi\nHost -oProxyCommand=x a/b\nMatch host never\n"
    )
    (tmp_path / ".ssh" / "more" / "one").write_text("Host garden\nInclude ~/.ssh/config\n")
    assert ssh_hosts() == ["garden", "pi", "kitchen-pi", "door"]
