"""The documentation as a site: what `make docs` collects, and the contents that docs/mkdocs.yml lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT

from tools.make_cli_reference import reference
from tools.make_site import collect, loaded_from_elsewhere, notebook_page, pages, with_links


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of pages that MkDocs would read, for a repository with an address."""
    folder = tmp_path_factory.mktemp("site") / "pages"
    collect(folder, "https://example.org/edgenet")
    return folder


def test_the_contents_list_every_page_once(collected: Path) -> None:
    listed = re.findall(r": ([\w-]+\.md)$", (DOCS / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    missing = {path.name for path in collected.glob("*.md")} - set(listed)
    assert not missing, f"add to the contents (nav) in docs/mkdocs.yml: {sorted(missing)}"
    assert set(listed) == {path.name for path in collected.glob("*.md")}


def test_links_between_pages_stay_on_the_site(collected: Path) -> None:
    start = (collected / "start.md").read_text(encoding="utf-8")
    assert "[On the device](on-the-device.md)" in start
    assert "](docs/" not in start
    assert "[NOTICE](https://example.org/edgenet/blob/main/NOTICE)" in start


def test_a_link_to_a_file_that_is_no_page_keeps_its_words_where_the_repository_has_no_address() -> None:
    text = "See [NOTICE](NOTICE) and [the words](docs/glossary.md#x).\n```console\n[NOTICE](NOTICE)\n```\n"
    changed = with_links(text, ROOT, pages(), "")
    assert changed == "See NOTICE and [the words](glossary.md#x).\n```console\n[NOTICE](NOTICE)\n```\n"


def test_a_notebook_becomes_a_page() -> None:
    page = notebook_page((DOCS / "notebooks" / "teach.ipynb").read_text(encoding="utf-8"))
    assert page.startswith("# Teach a classifier")
    assert "```python\nimport shutil\n" in page


def test_the_command_line_is_described_from_the_commands() -> None:
    text = reference()
    assert "## convert" in text
    assert "| `--recipe" in text
    assert "| 3 | Everything was measured, but" in text


def test_nothing_may_come_from_another_host(tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text('<a href="https://arxiv.org/abs/1704.04861">x</a><script src="a.js">')
    assert loaded_from_elsewhere(tmp_path) == []
    (tmp_path / "bad.html").write_text('<link rel="stylesheet" href="https://fonts.example/a.css">')
    assert loaded_from_elsewhere(tmp_path) == ["https://fonts.example/a.css"]
