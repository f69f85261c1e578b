"""Export the page to a folder that any web server can serve."""

from __future__ import annotations

from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.files import make_folder, write_atomically
from edgenet.webpage.server import ISOLATING
from edgenet.webpage.site import PageOptions, page_of

_NOTE = """# {name} in the browser

Serve this folder with any web server, over https: browsers allow the camera only on https pages and `http://localhost`.
To try it on this machine, run `python3 -m http.server --bind 127.0.0.1 8000` and open http://127.0.0.1:8000/.

If the server sends these two headers with every file, the network may use several threads; without them it uses one:

{headers}

`.wasm` must be sent as `application/wasm` and `.js` as `text/javascript`. Compress both: they shrink to a third.
The page fetches nothing from elsewhere, and no picture leaves the browser.

The folder `litert` is LiteRT.js, copyright Google LLC, Apache License 2.0.
"""


def export_page(bundle: Path, folder: Path, options: PageOptions) -> tuple[Path, ...]:
    """Write the page for a bundle into a folder, which is created if it does not exist.

    Returns:
        The paths of the files that were written.

    Raises:
        EdgenetError: the model cannot be used, or the folder is not empty or cannot be written.
    """
    site = page_of(bundle, options, takes_reports=False)
    if folder.is_dir() and any(folder.iterdir()):
        raise EdgenetError(f"the folder {folder} is not empty", "give a new or empty folder")
    make_folder(folder)
    make_folder(folder / "litert")
    headers = "\n".join(f"    {name}: {value}" for name, value in ISOLATING.items())
    note = _NOTE.format(name=site.model.path.stem, headers=headers).encode()
    written = {**site.files, "README.md": note}
    for name, data in sorted(written.items()):
        write_atomically(folder / name, data)
    return tuple(folder / name for name in sorted(written))
