"""The steps Teach and Look: `edgenet train --data photos --out runs/NAME` in a child process, and the report of a run.

The run's folder says what is to be done: it holds a file `teaching` from the start until the teaching has ended or was
stopped by the user. A server that was stopped in between finds that file at its next start and goes on; the features
that were computed by then are in edgenet's cache.

The first classifier is there after seconds, as a float checkpoint. It is converted at once, beside the teaching, so
that it can be tried; the better one replaces it under the same name. A teaching that is stopped leaves what it has in
the same way.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet_device.output_files import write_atomically
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgenet.errors import EdgenetError
from edgenet.files import make_folder, read_limited
from edgenet.studio_app.jobs import Job
from edgenet.studio_app.studio import Studio, answers, refused

TEACH, FIRST, PACK = "teach", "first", "pack"
"""The kinds of the jobs: the teaching, and the conversion and packing of what it has so far."""
MARK = "teaching"
REPORT = "report.json"
LARGEST_REPORT = 64 << 20
MOST_MINUTES = 24 * 60
_HELD, _HELD_S = "is writing into", 3.0
"""What a child process of a server that was killed says of its folder until it has ended, and how long to wait then."""
QUICK, QUICK_MINUTES = "--no-finetune", 1.0
"""Who wants only the quick classifier also wants the quick recipe of quantization; more time would buy the other."""
_FLAGS = ("--no-flip", QUICK)
_starting = threading.Lock()
"""Two browsers may press the button at once."""
_QUICK_PHOTOS = "50"
"""So many photos calibrate the first classifier; it shall be there soon."""


def routes(studio: Studio) -> list[Route]:
    """Return the routes of these steps; what a teaching does meanwhile comes as events."""

    def begin(values: dict[str, Any]) -> Any:
        return start(studio, Wish.of(values["minutes"], values["flags"])).as_json()

    def stop(values: dict[str, Any]) -> Any:
        studio.jobs.stop(TEACH)
        return {}

    async def report(request: Request) -> Response:
        return await run_in_threadpool(_report, studio, request.query_params.get("run", ""))

    return [
        Route("/api/teach", answers(begin), methods=["POST"]),
        Route("/api/teach/stop", answers(stop), methods=["POST"]),
        Route("/api/report", report),
    ]


def state(studio: Studio) -> dict[str, Any]:
    """Return the runs, the newest first, and the latest job of each kind."""
    return {
        "runs": runs_json(studio),
        "jobs": {job.kind: job.as_json() for job in studio.jobs.latest()},
    }


def _report(studio: Studio, run: str) -> Response:
    try:
        data = read_limited(run_folder(studio, run) / REPORT, LARGEST_REPORT)
    except EdgenetError as error:
        return refused(error)
    except OSError:
        return refused(EdgenetError("this run has no report", "let a teaching run to its end"), 404)
    return Response(data, media_type="application/json")


@dataclass(frozen=True)
class Wish:
    """What the user chose for a teaching.

    Attributes:
        minutes: about how long it may take.
        flags: the options without a value, of `_FLAGS`.
    """

    minutes: float
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, minutes: object, flags: object) -> Wish:
        """Return the wish that a page or a file states.

        Raises:
            ValueError: it is not one.
        """
        if (
            isinstance(minutes, bool)
            or not isinstance(minutes, int | float)
            or not 0 < minutes <= MOST_MINUTES
        ):
            raise ValueError("the minutes are not a number of minutes")
        if not isinstance(flags, list) or any(flag not in _FLAGS for flag in flags):
            raise ValueError("there is an unknown option")
        return cls(float(minutes), tuple(dict.fromkeys(flags)))

    def arguments(self) -> list[str]:
        """Return the options as they are typed."""
        minutes = min(self.minutes, QUICK_MINUTES) if QUICK in self.flags else self.minutes
        return ["--minutes", f"{minutes:g}", *self.flags]


def start(studio: Studio, wish: Wish) -> Job:
    """Start a teaching in a new folder of `runs`.

    Raises:
        EdgenetError: there are fewer than two classes with photos, or one is running already.
    """
    places = studio.places
    full = [label for label in places.labels() if places.names(label)]
    if len(full) < 2:
        raise EdgenetError(
            f"{len(full) or 'no'} class{'es' * (len(full) != 1)} with photos",
            "collect photos of at least two classes",
        )
    with _starting:
        if studio.jobs.is_running(TEACH):
            raise EdgenetError("a teaching is running already", "wait until it ends, or stop it")
        make_folder(places.runs)
        run = _new_run(places.runs)
        write_atomically(run / MARK, " ".join(wish.arguments()).encode() + b"\n")
        return _teach(studio, run, wish)


def _new_run(runs: Path) -> Path:
    name = time.strftime("%Y%m%d-%H%M%S")
    run, number = runs / name, 2
    while run.exists():
        run, number = runs / f"{name}-{number}", number + 1
    make_folder(run)
    return run


def resume(studio: Studio) -> None:
    """Go on with the teaching that was not ended when the server stopped, if there is one."""
    marked = sorted(studio.places.runs.glob(f"*/{MARK}")) if studio.places.runs.is_dir() else []
    for older in marked[:-1]:
        older.unlink(missing_ok=True)
    if not marked:
        return
    wish = _read_wish(marked[-1])
    if wish is None:  # somebody wrote something else into it
        marked[-1].unlink(missing_ok=True)
    else:
        _teach(studio, marked[-1].parent, wish)


def _read_wish(mark: Path) -> Wish | None:
    try:
        words = read_limited(mark, 1000).decode("ascii").split()
        return Wish.of(float(words[1]), words[2:]) if words[:1] == ["--minutes"] else None
    except (EdgenetError, OSError, ValueError, IndexError):
        return None


def _teach(studio: Studio, run: Path, wish: Wish) -> Job:
    def ended(job: Job) -> None:
        if studio.jobs.closing:
            return  # the mark stays, and the next server goes on
        if job.state == "failed" and _HELD in job.error:
            threading.Timer(_HELD_S, _teach, (studio, run, wish)).start()
            return
        (run / MARK).unlink(missing_ok=True)
        made = _made(run, ".edgenet")
        if job.state == "done" and made:
            make_folder(studio.places.bundles)
            write_atomically(_bundle(studio, run), made[0].read_bytes())
        elif job.state == "stopped":
            _convert(studio, run)
        studio.changed()

    def logged(job: Job, line: str) -> None:
        # The quick classifier is followed by its own bundle at once.
        if line.startswith("first classifier after") and QUICK not in wish.flags:
            _convert(studio, run)

    arguments = ["train", "--data", str(studio.places.photos), "--out", str(run)]
    return studio.jobs.start(
        TEACH, [*arguments, *studio.train_options, *wish.arguments()], {"run": run.name}, ended, logged
    )


def _made(run: Path, suffix: str) -> list[Path]:
    """Return the finished files of a run with this ending; hidden ones are not finished."""
    return sorted(one for one in run.glob(f"*{suffix}") if not one.name.startswith("."))


def _bundle(studio: Studio, run: Path) -> Path:
    return studio.places.bundles / f"{run.name}.edgenet"


def _convert(studio: Studio, run: Path) -> None:
    """Make a bundle of the checkpoint that a teaching has written so far, in two child processes.

    A finished teaching's own bundle is never replaced by it.
    """
    checkpoints = _made(run, ".safetensors")
    if not checkpoints or any(studio.jobs.is_running(kind) for kind in (FIRST, PACK)):
        return
    model, bundle = run / ".first.tflite", run / ".first.edgenet"

    def packed(job: Job) -> None:
        model.unlink(missing_ok=True)
        if job.state == "done" and not _made(run, ".edgenet"):
            make_folder(studio.places.bundles)
            os.replace(bundle, _bundle(studio, run))
            studio.changed()
        bundle.unlink(missing_ok=True)

    def converted(job: Job) -> None:
        if job.state == "done":
            studio.jobs.start(PACK, ["package", str(model), "--out", str(bundle)], job.about, packed)
        else:
            model.unlink(missing_ok=True)

    arguments = [
        "convert",
        str(checkpoints[0]),
        "--calibration",
        str(studio.places.photos),
        "--out",
        str(model),
    ]
    more = ["--recipe", "fast", "--photos", _QUICK_PHOTOS]
    studio.jobs.start(FIRST, [*arguments, *more], {"run": run.name}, converted)


def run_names(studio: Studio) -> list[str]:
    """Return the names of the runs, the newest first."""
    runs = studio.places.runs
    return sorted((one.name for one in runs.iterdir() if one.is_dir()), reverse=True) if runs.is_dir() else []


def run_folder(studio: Studio, name: str) -> Path:
    """Return the folder of a run.

    Raises:
        EdgenetError: there is no such run.
    """
    if name not in run_names(studio):
        raise EdgenetError("there is no such run any more", "choose another one")
    return studio.places.runs / name


def runs_json(studio: Studio) -> list[dict[str, Any]]:
    """Return what the page lists of each run, the newest first."""
    return [
        {
            "run": name,
            "report": (studio.places.runs / name / REPORT).is_file(),
            "bundle": (studio.places.bundles / f"{name}.edgenet").is_file(),
            "unfinished": (studio.places.runs / name / MARK).is_file(),
        }
        for name in run_names(studio)
    ]
