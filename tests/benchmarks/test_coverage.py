"""`benchmarks.coverage` on networks of our own: what converts, what is refused, and what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_network import save_onnx_of
from torch import nn

from benchmarks import coverage
from benchmarks.coverage import Row, as_line, convert_one, table
from benchmarks.covering.networks import NETWORKS


def network(between: nn.Module) -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3, 2, 1), between, nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 5)).eval()


def test_the_list_has_69_networks() -> None:
    assert len(NETWORKS) == 69
    assert {side % 2 for side in NETWORKS.values()} == {0}


@pytest.mark.parametrize(
    ("between", "outside", "parts"), [(nn.LeakyReLU(0.1), "none", 1), (nn.GELU(), "1 GELU", 2)], ids=str
)
def test_a_network_that_converts(between: nn.Module, outside: str, parts: int, tmp_path: Path) -> None:
    path = save_onnx_of(network(between), tmp_path / "net.onnx")
    row = convert_one(Row("net", 64), path, "minmax")
    assert row.held
    assert row.float_error < 1e-5
    assert row.int8_error == 0
    assert as_line(row).endswith(f"| 0 | {outside} | {parts} |")
    assert "1 of 1 networks" in table([row], "minmax")


def test_a_network_that_is_refused(tmp_path: Path) -> None:
    path = save_onnx_of(network(nn.Mish()), tmp_path / "net.onnx")
    row = convert_one(Row("net", 64), path, "minmax")
    assert not row.held
    assert "this operator is not supported" in as_line(row)
    assert "0 of 1 networks" in table([row], "minmax")


def test_files_that_are_there_are_not_exported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "python_of", lambda *_: pytest.fail("the environment is not needed"))
    (tmp_path / "resnet18.onnx").touch()
    assert coverage.export(["resnet18"], tmp_path) == {}
