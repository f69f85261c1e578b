#!/usr/bin/env python3
"""Try a model on this device: verify its file, load it, run it once, import OpenCV. Prints JSON.

python try_model.py mobilenet.edgenet
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import util
from pathlib import Path

from edgenet_device.entry import run


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    shape = argparse.ArgumentParser(prog="try_model.py", description=__doc__.partition("\n")[0])
    shape.add_argument("model", metavar="MODEL", type=Path, help=".tflite file or .edgenet bundle")
    given = shape.parse_args(arguments)
    # Imported late, so that a missing numpy is reported in one line.
    from edgenet_device.classifier import Classifier
    from edgenet_device.errors import EdgenetError

    classifier = Classifier(given.model, threads=1)
    classifier.input_view()[:] = 127
    classifier.invoke()
    # Without OpenCV the model still runs, but no photos or cameras can be read.
    if util.find_spec("cv2") is not None:
        try:
            import cv2  # noqa: F401
        except ImportError as error:
            raise EdgenetError(f"OpenCV cannot be imported: {error}", "install OpenCV again") from None
    facts = {
        "size": classifier.size,
        "classes": len(classifier.scores()),
        "runtime": classifier.runtime.name,
        "version": classifier.runtime.version,
        "delegate": classifier.delegate.describe(),
    }
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
