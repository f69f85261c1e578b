"""`edgenet camera`: options that do not fit where the camera is."""

from __future__ import annotations

import pytest
from command_line import Edgenet


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("--on", "adb", "--record", "x.mp4"), "cannot be used with --on adb"),
        (("--on", "browser", "--window"), "cannot be used with --on browser"),
        (("--on", "adb:SERIAL", "--frames", 3), "cannot be used with --on adb:SERIAL"),
        (("--on", "adb", "--export", "page"), "--export needs --on browser"),
        (("--on", "adb", "--serve", "0.0.0.0:80"), "--serve takes a PORT alone"),
        (("--export", "page"), "--export needs --on browser"),
        (("--on", "ssh:pi@host", "--out", "r.json"), "--out needs --on browser or --on adb"),
        (("--on", "phone"), "'phone' is not a target; give local, browser"),
    ],
)
def test_a_mismatch_is_refused(edgenet: Edgenet, given: tuple[object, ...], found: str) -> None:
    ran = edgenet("camera", "a.edgenet", *given)
    assert ran.status != 0
    assert found in " ".join(ran.err.split())
    assert "Traceback" not in ran.err
