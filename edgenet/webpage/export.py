"""The page as a folder that any web server can serve."""

from __future__ import annotations

from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.files import make_folder, write_atomically
from edgenet.webpage.server import ISOLATING
from edgenet.webpage.site import PageOptions, page_of

_NOTE = """# {name} in the browser

Serve this folder with any web server, over https: browsers give the camera only to https pages and to `http://localhost`.
Here, for instance: `python3 -m http.server --bind 127.0.0.1 8000`, then open http://127.0.0.1:8000/.

With these two headers on every file the network may use several threads; without them it uses one:

{headers}

`.wasm` must be sent as `application/wasm` and `.js` as `text/javascript`; compress both, they shrink to a third.
Nothing is fetched from elsewhere, and no picture leaves the browser.

The folder `litert` is LiteRT.js, copyright Google LLC, Apache License 2.0.
"""


def export_page(bundle: Path, folder: Path, options: PageOptions) -> tuple[Path, ...]:
    """Writes the page for a bundle into a folder, which is made.

    Returns:
        the files that were written.

    Raises:
        EdgenetError: the model cannot be used, the folder is not empty, or cannot be written.
    """
    site = page_of(bundle, options, takes_reports=False)
    if folder.is_dir() and any(folder.iterdir()):
        raise EdgenetError(f"the folder {folder} is not empty", "give a new one")
    make_folder(folder)
    make_folder(folder / "litert")
    headers = "\n".join(f"    {name}: {value}" for name, value in ISOLATING.items())
    note = _NOTE.format(name=site.model.path.stem, headers=headers).encode()
    written = {**site.files, "README.md": note}
    for name, data in sorted(written.items()):
        write_atomically(folder / name, data)
    return tuple(folder / name for name in sorted(written))
