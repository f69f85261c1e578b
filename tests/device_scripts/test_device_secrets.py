"""A camera's password, and the page's token, are shown to nobody who does not have them already."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edgenet_device.errors import EdgenetError
from edgenet_device.frames.files import read_frames
from edgenet_device.source_text import has_secret, read_source, shown_source
from endless_stream import playing
from model_files import Run


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://me:secret@cam:554/live", "rtsp://cam:554/live"),
        ("RTSP://me:secret@cam/live", "RTSP://cam/live"),
        ("rtsp://me:se@cret@cam/live", "rtsp://cam/live"),
        ("rtsp://me:se/cret@cam/live", "rtsp://cam/live"),
        ("rtsp://me:se?cret@cam/live", "rtsp://..."),
        ("rtsp://me:se#cret@cam/live", "rtsp://..."),
        ("http://cam/video.cgi?user=me&pwd=secret", "http://cam/video.cgi"),
        ("http://cam/video.cgi?user=me@home&pwd=secret", "http://..."),
        ("http://me:secret@cam/video.cgi?user=me&pwd=secret#secret", "http://cam/video.cgi"),
        ("srt:/me:secret@cam/live", "srt:/cam/live"),
        ("rtsp://cam/live", "rtsp://cam/live"),
        ("0", "0"),
        ("csi:1", "csi:1"),
        ("films/me@home?.mp4", "films/me@home?.mp4"),
    ],
)
def test_what_is_shown_of_a_source(source: str, shown: str) -> None:
    assert shown_source(source) == shown
    assert has_secret(source) is (source != shown)


def test_a_url_that_cannot_be_opened_is_named_without_its_password() -> None:
    for source in ("srt://me:secret@cam/live?pwd=secret", "rtsp:/me:secret@cam/live?pwd=secret"):
        with pytest.raises(EdgenetError, match="cam/live") as refused:
            next(iter(read_frames(source)))
        assert "secret" not in str(refused.value)


def test_a_source_from_a_file(tmp_path: Path) -> None:
    place = tmp_path / "url"
    assert read_source("0") == "0"
    place.write_text("rtsp://me:secret@cam/live\r\n")
    assert read_source(f"@{place}") == "rtsp://me:secret@cam/live"
    for text in ("", "\n", "a\nb", "\x1b[2J", "a" * 5000):
        place.write_text(text)
        with pytest.raises(EdgenetError, match="does not hold one line"):
            read_source(f"@{place}")
    for missing in (f"@{tmp_path / 'no'}", f"@{tmp_path}", "@"):
        with pytest.raises(EdgenetError, match="cannot read the source"):
            read_source(missing)


def test_no_output_names_the_password(run_copied: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    """Of camera.py with all its outputs, of classify.py and of capture.py; the last line is from a stream that ends."""
    out = tmp_path / "out"
    out.mkdir()
    with playing(20) as url:
        (tmp_path / "url").write_text(url.replace("://", "://me:s3cret@") + "?key=s3cret")
        source = f"@{tmp_path / 'url'}"
        outputs = ("--record", out / "seen.mp4", "--state", out / "state.json", "--serve", "0")
        done = [
            run_copied("camera.py", tiny_bundle, source, "--frames", "3", *outputs, "--json"),
            run_copied("camera.py", tiny_bundle, source, "--frames", "3"),
            run_copied("classify.py", tiny_bundle, source, "--frames", "3", "--contact-sheet", out / "s.png"),
            run_copied("capture.py", "grey", out, source, "--every", "0.1", "--count", "1"),
        ]
    done.append(run_copied("classify.py", tiny_bundle, source))
    assert [run.returncode for run in done] == [0, 0, 0, 0, 1], [run.stderr for run in done]
    told = "".join(run.stdout + run.stderr for run in done)
    host = url.partition("//")[2]
    assert f"http://{host}#0" in told
    assert f"no video comes from http://{host};" in told
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert "s3cret" not in told + str(files)
    assert not [path for path in files if b"s3cret" in path.read_bytes()]


def test_a_running_camera_shows_neither_password_nor_token(
    copied_scripts: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """As a service runs it: what it prints goes to the journal, which others may read, as they may its command line."""
    state = tmp_path / "state.json"
    with playing(20) as url:
        (tmp_path / "url").write_text(url.replace("://", "://me:s3cret@"))
        command = [
            sys.executable,
            str(copied_scripts / "camera.py"),
            str(tiny_bundle),
            f"@{tmp_path / 'url'}",
        ]
        with subprocess.Popen(
            [*command, "--serve", "0.0.0.0:0", "--state", str(state)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            told = process.stdout.readline()
            while not state.exists():
                assert process.poll() is None
                time.sleep(0.05)
            seen = Path(f"/proc/{process.pid}/cmdline").read_text()
            process.terminate()
            told += process.communicate()[0]
    kept = json.loads(state.read_text())
    token = kept["url"].partition("?token=")[2]
    assert token
    assert "live page: http://0.0.0.0:" in told
    for secret in (token, "s3cret"):
        assert secret not in told
        assert secret not in seen
