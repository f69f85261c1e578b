"""Builds the documentation as a site, from docs/mkdocs.yml. Run it through `make docs`.

    python -m tools.make_site             # collects the pages into build/docs/pages, builds build/docs/site
    python -m tools.make_site --collect   # only collects them

The site also has pages that lie elsewhere in the repository (README.md, CONTRIBUTING.md, ...), the notebooks of
docs/notebooks, and the reference of the command line, which is made from the commands. Links between them are
rewritten, and one that shows a file's name shows the page's title. A link to a file that is no page leads to the
repository if REPOSITORY_URL says where that is; otherwise only its text stays.

MkDocs then treats every warning as an error: a link or an anchor that leads nowhere, or a page that is not in the
contents. A page that would load anything from another host is an error, too.

MkDocs has an environment of its own, .envs/docs, with the packages of requirements/docs.txt and no others.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from edgenet.errors import EdgenetError
from tools.make_cli_reference import reference

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SETTINGS = DOCS / "mkdocs.yml"
BUILT = ROOT / "build" / "docs"
SITE = BUILT / "site"
REQUIREMENTS = ROOT / "requirements" / "docs.txt"
ELSEWHERE = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "measurements.md",
    "calibration_data/README.md": "calibration-photos.md",
}
"""Pages outside docs/, and what they are called on the site."""
LEFT_OUT = {"package-description.md"}
"""Pages of docs/ that are not for the site: this one is for the package index."""
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_LOADED = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"'> ]+)"
)
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def main() -> int:
    """Build the site, or only collect its pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--collect", action="store_true", help="only collect the pages, into build/docs/pages"
    )
    options = parser.parse_args()
    collect(BUILT / "pages")
    shutil.copy2(SETTINGS, BUILT)
    if options.collect:
        return 0
    try:
        program = mkdocs()
    except EdgenetError as error:
        print(f"make docs: {error}", file=sys.stderr)
        return 1
    # Material warns at each build that MkDocs 2 will not run it; docs/mkdocs.yml says what comes after.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": ""}
    command = [str(program), "build", "--strict", "--clean", "--config-file", str(BUILT / SETTINGS.name)]
    done = subprocess.run(command, env=environment, check=False, stderr=subprocess.PIPE, text=True)
    foreign = loaded_from_elsewhere(SITE)
    if done.returncode or foreign:
        print(done.stderr, *(f"it would load {address}" for address in foreign), sep="\n", file=sys.stderr)
        return 1
    print(f"{SITE.relative_to(ROOT)}/index.html: {len(list(SITE.rglob('*.html')))} pages")
    return 0


def collect(folder: Path, repository: str | None = None) -> None:
    """Write every page of the site into `folder`, which is emptied first, with links as the site needs them.

    Args:
        repository: the address of the repository's web page, for links to its files; REPOSITORY_URL unless given.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if repository is None:
        repository = os.environ.get("REPOSITORY_URL", "")
    places = pages()
    for source, name in places.items():
        text = source.read_text(encoding="utf-8")
        if source.suffix == ".ipynb":
            text = notebook_page(text)
        (folder / name).write_text(with_links(text, source.parent, places, repository), encoding="utf-8")
    (folder / "cli.md").write_text(reference(), encoding="utf-8")
    for path in DOCS.iterdir():
        if path.is_file() and path.suffix not in (".md", ".yml") and path.name != "Dockerfile.dockerignore":
            shutil.copy2(path, folder / path.name)


def pages() -> dict[Path, str]:
    """Return the files that become pages, with the names of the pages. All of them lie in one folder."""
    found = {path: path.name for path in sorted(DOCS.glob("*.md")) if path.name not in LEFT_OUT}
    found |= {path: f"{path.stem}.md" for path in sorted((DOCS / "notebooks").glob("*.ipynb"))}
    return found | {ROOT / path: name for path, name in ELSEWHERE.items()}


def with_links(text: str, folder: Path, places: dict[Path, str], repository: str) -> str:
    """Return a page of `folder` with its links changed to those of the site; blocks of code stay as they are."""

    def changed(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match[0]
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve()
        if file in places:
            if Path(path).name in words:  # "docs/faq.md" says nothing on the site
                words = title(file)
            return f"{picture}[{words}]({places[file]}{'#' + anchor if anchor else ''})"
        if file.parent == DOCS:
            return f"{picture}[{words}]({file.name})"
        return f"[{words}]({repository}/blob/main/{file.relative_to(ROOT)})" if repository else words

    parts, end = [], 0
    for block in _FENCE.finditer(text):
        parts += [_LINK.sub(changed, text[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, _LINK.sub(changed, text[end:])])


def title(page: Path) -> str:
    """Return the first heading of a page; of a notebook, its name."""
    found = re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else page.stem


def notebook_page(text: str) -> str:
    """Return a notebook as Markdown: its texts, and its code in blocks."""
    cells = json.loads(text)["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts) + "\n"


def loaded_from_elsewhere(site: Path) -> list[str]:
    """Return every address on another host from which a page of the site would load a script, a style or a picture."""
    return sorted(
        {one[1] for page in site.rglob("*.html") for one in _LOADED.finditer(page.read_text("utf-8"))}
    )


def mkdocs() -> Path:
    """Return MkDocs' program, from an environment that has exactly the packages of requirements/docs.txt.

    Raises:
        EdgenetError: the packages cannot be installed.
    """
    folder = ROOT / ".envs" / "docs"
    stamp = folder / "installed.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        print("installing MkDocs into .envs/docs (once) ...", file=sys.stderr)
        # Our own pip installs them, and MkDocs compiles the part of them that it imports: both save half of the time.
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python"]
        options = ["--quiet", "--no-compile", "--require-hashes", "--no-deps"]
        done = subprocess.run(
            [*pip, folder / "bin" / "python", "install", *options, "-r", REQUIREMENTS], check=False
        )
        if done.returncode:
            raise EdgenetError(
                "pip could not install requirements/docs.txt", "check the network and try again"
            )
        stamp.write_text(wanted, encoding="utf-8")
    return folder / "bin" / "mkdocs"


if __name__ == "__main__":
    sys.exit(main())
