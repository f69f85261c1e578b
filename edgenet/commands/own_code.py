"""The options of `deploy` and `configure` for code of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

With = Annotated[
    Path | None,
    typer.Option(
        "--with",
        metavar="FILE.py|FOLDER",
        help="Bring a program of your own, or a folder, which stays on the device through later deploys and rollbacks.",
    ),
]
RequirementsFile = Annotated[
    Path | None,
    typer.Option(
        "--requirements",
        metavar="FILE",
        help="Packages for the code of --with; this machine downloads them, so that the device needs no network.",
    ),
]
Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="PROGRAM",
        help="Let the service start this program of yours, such as my_app.py or my_folder/main.py, with the arguments "
        "after --; camera.py is edgenet's own.",
    ),
]


@dataclass(frozen=True)
class OwnCodeOptions:
    """Code of the user's own, and whether the service starts it."""

    with_: With = None
    requirements: RequirementsFile = None
    run: Run = None
