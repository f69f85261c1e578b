"""`edgenet demo`: run the whole workflow once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenet.commands.console import log_to, print_json, say, shown_progress
from edgenet.commands.options import JsonFlag
from edgenet.commands.quick_imports import quick_imports

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the files that the demo makes.")]


def demo_command(out: Out = Path("edgenet-demo"), json_output: JsonFlag = False) -> None:
    """Run the whole workflow once, from training to latency.

    MobileNetV1 0.25 is trained on handwritten digits and converted to int8. MobileNetV2 with ImageNet weights is
    converted to an int8 bundle, which labels photos and the frames of a video (and of a camera, if one is attached),
    and its latency is measured.
    """
    with shown_progress() as progress:
        with quick_imports():
            from edgenet.workflows.demo import demo

        result = demo(out, progress=progress, log=log_to(json_output))
    if json_output:
        print_json(result)
        return
    validity = "" if result.valid else f" (not valid to quote: {'; '.join(result.reasons)})"
    say(f"      inference p50 {result.inference_p50_ms:.2f} ms{validity}")
    say("made:")
    for path in result.files:
        say(f"  {path}")
    say(f"look at {result.files[-1]}")
