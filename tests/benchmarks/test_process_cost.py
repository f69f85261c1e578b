"""The cost of whole processes: a known sleep and known allocations are measured, and failures are explained."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from benchmarks.comparing.peers import packages_mb
from benchmarks.processes import installed_sizes, measure
from edgenet.errors import EdgenetError

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(sysconfig.get_path("purelib"))
TOUCH_100_MIB = "block = bytearray(100 << 20); block[::4096] = bytes([1]) * len(block[::4096])"


def _python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_sees_wall_time_and_output(tmp_path: Path) -> None:
    cost = measure(_python("import time; time.sleep(0.3); print('done')"), tmp_path / "log")
    assert cost.wall_s >= 0.3
    assert cost.cpu_s < cost.wall_s
    assert cost.stdout == "done\n"


def test_adds_up_the_memory_of_children(tmp_path: Path) -> None:
    forking = f"import os, time; child = os.fork(); {TOUCH_100_MIB}; time.sleep(0.4); child and os.wait()"
    # Measured from a small process, because pytest with a framework loaded would pass on its own high-water mark.
    asking = (
        "import sys; from pathlib import Path; from benchmarks.processes import measure; "
        "print(measure(sys.argv[2:], Path(sys.argv[1])).peak_mib)"
    )
    command = [sys.executable, "-c", asking, str(tmp_path / "log"), *_python(forking)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 200 < float(done.stdout) < 300  # one process alone would show about 110


def test_reports_the_output_of_a_failing_program(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match=r"exited with 3; its output ends: out of luck"):
        measure(_python("import sys; print('out of luck', file=sys.stderr); sys.exit(3)"), tmp_path / "log")


def test_names_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="there is no program"):
        measure([str(tmp_path / "absent")], tmp_path / "log")


def test_installed_sizes_follow_requirements() -> None:
    alone = installed_sizes(SITE, ["numpy"])
    with_numpy = installed_sizes(SITE, ["ml_dtypes"])
    assert alone["numpy"] > 10e6
    assert with_numpy.keys() == {"ml-dtypes", "numpy"}  # ml_dtypes requires numpy and nothing else
    assert with_numpy["numpy"] == alone["numpy"]


def test_installed_sizes_name_what_is_not_installed() -> None:
    with pytest.raises(EdgenetError, match="no-such-package is not installed"):
        installed_sizes(SITE, ["no-such-package"])


def test_a_package_in_two_environments_counts_once() -> None:
    python = Path(sys.executable)
    both = packages_mb((python, ("numpy",)), (python, ("ml_dtypes",)))
    assert both == packages_mb((python, ("ml_dtypes",)))
