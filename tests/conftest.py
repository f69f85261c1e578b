"""Fixtures that the tests of several packages share."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

if "PYTEST_XDIST_WORKER" in os.environ:
    import torch  # here, because the process that only hands out tests needs none

    torch.set_num_threads(1)  # the other cores have tests of their own
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # What a script starts in the background ignores Ctrl-C, and so would every program that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The files that take longest, most of them spent waiting, longest first: so they end while short ones still run.
_FIRST = (
    "devices/test_raspberry_pi.py",
    "docs/test_pages_run.py",
    "verbs/test_verb_sweep_ray.py",
    "devices/test_openssh.py",
    "devices/test_phone_faults.py",
    "verbs/test_verb_teach.py",
    "browser/test_studio_page.py",
    "devices/test_phone.py",
    "devices/test_fleet.py",
    "devices/test_arm.py",
    "benchmarks/test_int8.py",
    "tflite/test_zoo_files.py",
    "graph/test_torch_reader.py",
    "packaging/test_installed.py",
    "graph/test_keras_reader.py",
    "browser/test_webpage.py",
    "api/test_api_reference.py",
    "zoo/test_foreign_checkpoints.py",
    "tools/test_fuzz_targets.py",
    "browser/test_studio_try.py",
    "devices/test_phone_benchmark_model.py",
    "tools/test_setup_environment.py",
    "training/test_training_processes.py",
    "devices/test_phone_browser.py",
    "cli/test_cli_streams.py",
    "browser/test_offline_page.py",
    "benchmarks/test_teaching.py",
    "verbs/test_demo_digits.py",
    "benchmarks/test_kills.py",
    "docs/test_notebooks.py",
    "verbs/test_verb_sweep.py",
    "verbs/test_verb_select.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of what takes long is done."""
    parser.addoption(
        "--camera-faults",
        type=int,
        default=1,
        metavar="N",
        help="each fault of the Pi's camera so many times",
    )
    parser.addoption(
        "--power-cuts",
        type=int,
        default=0,
        metavar="N",
        help="cut the Pi's power at every N-th step of a deploy; with 1, half an hour in emulation",
    )
    parser.addoption(
        "--random-networks",
        type=int,
        default=48,
        metavar="N",
        help="so many random networks and torch modules; some networks use the slow recipes too",
    )
    parser.addoption(
        "--second-pi",
        action="store_true",
        help="a second Pi, whose own pip takes the packages from an index; ten minutes in emulation",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Compiles this worker's share of the test files, because every worker imports them all.

    In a fresh clone no byte code is there, and workers that begin together would each compile every file.
    """
    state = config.stash.get(rewrite.assertstate_key, None)
    if "PYTEST_XDIST_WORKER" not in os.environ or sys.dont_write_bytecode or state is None:
        return
    worker, workers = (os.environ[f"PYTEST_XDIST_WORKER{end}"].removeprefix("gw") for end in ("", "_COUNT"))
    files = sorted(file for folder in config.args for file in Path(folder).rglob("test_*.py"))
    for file in files[int(worker) :: int(workers)]:
        compiled = rewrite.get_cache_dir(file) / f"{file.stem}{rewrite.PYC_TAIL}"
        if not compiled.exists() and rewrite.try_makedirs(compiled.parent):
            stamp, code = rewrite._rewrite_test(file, config)
            rewrite._write_pyc(state, code, stamp, compiled)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Spares the garbage collector all that lives as long as the tests: modules and thousands of tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before the tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; each file's tests stay together, in their order. A browser makes a test slow."""
    tests = Path(__file__).parent
    for item in items:
        if item.path.parent == tests / "browser":
            item.add_marker("slow")
    places = {tests / name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(_FIRST)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of test data that is not part of the repository; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real photos and weights is not here")
    return SHARED_DATA
