"""A page of one's own with Flask: what the camera sees now, and its picture.

It needs Flask (examples/flask_page.txt). The page has no password: leave it on the device's own address (127.0.0.1) and
reach it with ssh -L 8000:127.0.0.1:8000, or give 0.0.0.0 in a network that you trust.

PYTHONPATH=device_scripts python device_scripts/examples/flask_page.py 127.0.0.1:8000 0

edgenet deploy v2.edgenet --on ssh:pi@raspberrypi.local --with device_scripts/examples/flask_page.py \\
    --requirements device_scripts/examples/flask_page.txt --service --run flask_page.py -- 127.0.0.1:8000
"""

from __future__ import annotations

import os
import sys
import threading

import cv2
from edgenet_device import Camera, Classifier, EdgenetError, classify_frames
from edgenet_device.foreign_text import say
from flask import Flask, Response

app = Flask(__name__)
now: dict[str, object] = {"label": None, "score": None}
picture = b""


def watch(source: str) -> None:
    """Keep the newest label and picture, until the source ends; without a camera the program ends."""
    global picture
    try:
        classifier = Classifier(os.environ.get("EDGENET_BUNDLE", "v2.edgenet"))
        for seen in classify_frames(classifier, Camera(source)):
            picture = cv2.imencode(".jpg", seen.pixels)[1].tobytes()
            now.update(label=seen.label, score=seen.score)  # last: who sees a label can also get its picture
    except EdgenetError as error:
        say(f"error: {error}", sys.stderr)
        os._exit(1)  # systemd starts the service again


@app.get("/")
def page() -> str:
    """Show the picture and the label, again every two seconds."""
    refresh = '<meta http-equiv="refresh" content="2">'
    return f'<!doctype html><title>camera</title>{refresh}<img src="picture.jpg"><p id="label"></p>{_SCRIPT}'


_SCRIPT = """<script>
fetch("now").then(answer => answer.json()).then(now => {
    document.getElementById("label").textContent = now.label ?? "nothing I know"
})
</script>"""


@app.get("/now")
def label() -> dict[str, object]:
    """Return the label and its score as JSON."""
    return now


@app.get("/picture.jpg")
def newest() -> Response:
    """Return the newest picture."""
    return Response(picture, mimetype="image/jpeg", status=200 if picture else 503)


def main(address: str = "127.0.0.1:8000", source: str = "0") -> None:
    """Serve the page, and watch the source beside it."""
    host, _, port = address.rpartition(":")
    threading.Thread(target=watch, args=(source,), daemon=True).start()
    app.run(host or "127.0.0.1", int(port))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except EdgenetError as error:
        sys.exit(f"error: {error}")
