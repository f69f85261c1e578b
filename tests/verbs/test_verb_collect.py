"""The verb `collect`: what comes over, where to, and what is left alone."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edgenet_device.field.kept_photos import KeptPhotos
from edgenet_device.field.photo_facts import PhotoFacts, read_facts
from field_facts import FACTS

from edgenet.data.groups import sessions
from edgenet.data.photos import open_photos
from edgenet.devices import field_photos
from edgenet.devices.local import LocalDevice
from edgenet.devices.service_options import Option, ServiceOptions
from edgenet.devices.service_settings import keep_settings
from edgenet.devices.unit import Service
from edgenet.errors import EdgenetError
from edgenet.workflows.collect import RECORD, collect


def jpeg(seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), np.uint8)
    return cv2.imencode(".jpg", cv2.resize(small, (72, 64)))[1].tobytes()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    """This machine's folder of kept photos, as camera.py without --keep-in makes it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return KeptPhotos(tmp_path / "state" / "edgenet" / "field", 10**7)


def keep(kept: KeptPhotos, seed: int, **facts: Any) -> Path:
    changed = {"reason": "marked"} if "said" in facts else {}
    return kept.keep(jpeg(seed), PhotoFacts(**{**FACTS.__dict__, **changed, **facts}), 20.0 * seed)


def found(data: Path) -> dict[str, list[str]]:
    """Return the names of the photos in each folder."""
    places: dict[str, list[str]] = {}
    for path in sorted(data.rglob("*.jpg")):
        places.setdefault(path.parent.relative_to(data).as_posix(), []).append(path.name)
    return places


def test_photos_come_grouped_with_their_facts_and_only_once(kept: KeptPhotos, tmp_path: Path) -> None:
    paths = [
        keep(kept, 1),
        keep(kept, 2, label=None),
        keep(kept, 3, said="dog"),
        keep(kept, 4, said="nothing I know"),
    ]
    data = tmp_path / "data"
    result = collect(data, "local")
    names = [path.name for path in paths]
    assert found(data) == {
        "unlabelled/cat": [names[0]],
        "unlabelled/nothing I know": [names[1]],
        "dog": [names[2]],
        "none": [names[3]],
    }
    assert (result.new, result.labelled, result.unlabelled) == (
        4,
        {"dog": 1, "none": 1},
        {"cat": 1, "nothing I know": 1},
    )
    assert read_facts((data / "dog" / names[2]).read_bytes()).top == FACTS.top
    lines = [json.loads(line) for line in (data / RECORD).read_text().splitlines()]
    assert [(line["name"], line["folder"], line["doubt"]) for line in lines][2] == (names[2], "dog", 0.5)
    (data / "unlabelled" / "cat" / names[0]).rename(data / "dog" / names[0])  # labelled
    (data / "unlabelled" / "nothing I know" / names[1]).unlink()  # of no use
    keep(kept, 5)
    again = collect(data, "local")
    assert (again.new, again.known, again.removed) == (1, 4, 0)
    assert len(found(data)["dog"]) == 2
    assert all(path.exists() for path in paths)


def test_sessions_stay_together_and_train_leaves_out_what_nobody_labelled(
    kept: KeptPhotos, tmp_path: Path
) -> None:
    for seed in range(3):
        keep(kept, seed, said="dog")
        keep(kept, seed + 60, said="dog")  # after a pause of more than ten minutes
        keep(kept, seed + 100)
    collect(tmp_path / "data", "local")
    photos = open_photos(tmp_path / "data")
    assert (photos.class_names, len(photos)) == (("dog",), 6)
    assert photos.found.lines() == [
        "10 files: 6 read as photos, 3 not used (3 unlabelled), 1 ignored (1 .jsonl)"
    ]
    keys = sessions(photos.names, [0] * 6)
    assert None not in keys
    assert len(set(keys)) > 1


def test_what_a_network_thought_is_no_label(kept: KeptPhotos, tmp_path: Path) -> None:
    for seed, label in enumerate(("cat", "dog", None)):
        keep(kept, seed, label=label)
    collect(tmp_path / "data", "local")
    for place in (tmp_path / "data", tmp_path / "data" / "unlabelled"):
        photos = open_photos(place)
        assert (photos.class_names, len(photos)) == ((), 3)
        assert photos.why_unlabelled[1] == "move each photo into the folder of its class"


@pytest.mark.parametrize(
    "label", ["../../outside", "/etc", "..", ".", "-rf", "a/b", "\x1b[2Jred", "", "CON:", "x" * 300]
)
def test_a_hostile_device_writes_nothing_outside(kept: KeptPhotos, tmp_path: Path, label: str) -> None:
    keep(kept, 1, said=label, label=label)
    keep(kept, 2, label=label)
    result = collect(tmp_path / "data", "local")
    assert (result.new, result.labelled) == (2, {})
    for place in found(tmp_path / "data"):
        first, inner = place.split("/")
        assert first == "unlabelled"
        assert inner.isprintable()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data", "state"]


def test_the_device_s_photos_go_only_if_an_equal_copy_is_here(kept: KeptPhotos, tmp_path: Path) -> None:
    paths = [keep(kept, seed, said="dog") for seed in range(4)]
    data = tmp_path / "data"
    assert collect(data, "local").removed == 0
    (data / "dog" / paths[1].name).unlink()
    (data / "dog" / paths[2].name).write_bytes(b"edited")
    result = collect(data, "local", remove=True)
    assert (result.new, result.removed) == (0, 2)
    assert result.notes == (f"2 photos stay on local: there is no equal copy of them in {data}",)
    assert [path.exists() for path in paths] == [False, True, True, False]
    assert (data / "dog" / paths[2].name).read_bytes() == b"edited"


def test_photos_that_are_gone_changed_or_damaged_meanwhile(
    kept: KeptPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [keep(kept, seed) for seed in range(4)]
    torn = paths[3].read_bytes()
    paths[3].write_bytes(torn[: len(torn) // 2])
    real = field_photos.read_sums

    def meanwhile(out: bytes) -> dict[str, str]:
        """Between its two looks at the folder, one photo goes and another changes."""
        paths[0].unlink(missing_ok=True)
        paths[1].write_bytes(paths[1].read_bytes() + b"x")
        return real(out)

    monkeypatch.setattr(field_photos, "read_sums", meanwhile)
    result = collect(tmp_path / "data", "local")
    assert result.new == 1
    assert result.notes[0].startswith(f"{paths[3].name} stays on local: ")
    assert result.notes[1] == "2 photos were gone from local or changed while they came over"
    assert found(tmp_path / "data") == {"unlabelled/cat": [paths[2].name]}
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert collect(tmp_path / "data", "local").new == 1


def test_a_full_disk_here_ends_it_and_the_next_run_continues(
    kept: KeptPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(5):
        keep(kept, seed)
    real, calls = os.fsync, iter(range(100))

    def fsync(handle: int) -> None:
        if next(calls) >= 4:  # each photo and its folder are synced
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(EdgenetError, match="No space left on device; free some space"):
            collect(tmp_path / "data", "local")
    assert len(found(tmp_path / "data")["unlabelled/cat"]) == 2
    with open(tmp_path / "data" / RECORD, "ab") as record:
        record.write(b'{"name": "field-')  # torn by a power cut
    result = collect(tmp_path / "data", "local")
    assert (result.new, result.known) == (3, 2)
    assert collect(tmp_path / "data", "local").known == 5


def test_what_cannot_be_collected_says_so(
    kept: KeptPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set" / "train" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "val").mkdir()
    with pytest.raises(EdgenetError, match=r"has the splits train, val; give one of them: --data .*train"):
        collect(tmp_path / "set", "local")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(
        EdgenetError, match="local has kept no photos; start its camera with --keep-uncertain"
    ):
        collect(tmp_path / "data", "local")
    with pytest.raises(EdgenetError, match="only the phone's browser can use its camera"):
        collect(tmp_path / "data", "adb")
    (tmp_path / "file").touch()
    with pytest.raises(EdgenetError, match="cannot read"):
        collect(tmp_path / "file", "local", kept_in=str(tmp_path / "state" / "edgenet" / "field"))


@pytest.fixture
def odd_names(kept: KeptPhotos, tmp_path: Path) -> Path:
    folder = tmp_path / "state" / "edgenet" / "field"
    for name in ("field-$(touch hacked).jpg", "field-a b.jpg", "field-\nx.jpg", "-rf.jpg"):
        (folder / name).write_bytes(jpeg(0))
    os.symlink("/etc/passwd", folder / "field-20261130-091403-3f2a9c81b0d4-000777.jpg")
    return folder


def test_only_names_that_edgenet_gave_are_asked_for(
    kept: KeptPhotos, odd_names: Path, tmp_path: Path
) -> None:
    keep(kept, 1)
    assert collect(tmp_path / "data", "local", remove=True).new == 1
    assert len(list(odd_names.iterdir())) == 5


@pytest.mark.parametrize(
    ("named", "folder"), [("kept/here", "config/edgenet/kept/here"), (None, "elsewhere")]
)
def test_the_folder_that_the_service_s_options_name(
    kept: KeptPhotos, tmp_path: Path, named: str | None, folder: str
) -> None:
    place = tmp_path / folder
    keep(KeptPhotos(place, 10**6), 1)
    device = LocalDevice()
    option = Option("keep-in", str(place) if named is None else named)
    keep_settings(device, Service(options=ServiceOptions((option,))))
    assert collect(tmp_path / "data", "local").new == 1
