"""How the command starts: quickly, with nothing heavy imported, and how it ends: its exit status."""

from __future__ import annotations

import inspect
import os
import platform
import signal
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from command_line import SCRIPT, Edgenet
from small_network import PHOTOS

import edgenet as package

VERBS = ("models", "train", "convert", "evaluate", "inspect", "package", "sweep", "demo")
HEAVY = ("torch", "cv2", "onnx", "matplotlib", "numpy", "ai_edge_litert", "rich", "safetensors")


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from edgenet.commands.app import main
sys.argv = ["edgenet", "--help"]
try:
    main()
except SystemExit as end:
    assert end.code == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(verb in done.stdout for verb in VERBS)


def test_the_garbage_collector_leaves_imported_modules_alone() -> None:
    """Torch's half a million objects are looked through neither while they are made nor at the end."""
    code = """
import gc, sys
from edgenet.commands.quick_imports import quick_imports
before = gc.get_stats()[2]["collections"]
with quick_imports():
    import torch
print(gc.get_stats()[2]["collections"] - before, gc.isenabled(), gc.get_freeze_count() > 100_000)
frozen = gc.get_freeze_count()
with quick_imports():
    import torch
print(gc.get_freeze_count() <= frozen)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True", "True", "True"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_freed_memory_is_used_again_without_fetching_it_from_the_kernel() -> None:
    code = """
import resource
import numpy as np
from edgenet.commands.quick_imports import quick_imports
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(5 * 2**20, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
before = faults()
with quick_imports():
    pass
faults()  # the memory is fetched once
print(before, faults())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = (int(word) for word in done.stdout.split())
    assert after < before / 5


def test_help_imports_little() -> None:
    """`--help` takes as long as its imports; `python -m benchmarks.start` measures it."""
    code = """
import sys
before = set(sys.modules)
from edgenet.commands.app import main
sys.argv = ["edgenet", "--help"]
try:
    main()
finally:
    print(*(set(sys.modules) - before), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stderr.split())
    assert "edgenet.commands.app" in modules
    folder = Path(__file__).resolve().parents[2] / "edgenet"
    rooms = {f"edgenet.{path.parent.name}" for path in folder.glob("*/__init__.py")} - {"edgenet.commands"}
    assert modules & rooms == set(), "a verb's room must be imported only when the verb is called"
    others = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    assert others <= {"edgenet", "edgenet_device", "typer", "click", "annotated_doc", "shellingham"}
    assert len(modules) <= 150, "typer brings 27 modules; numpy would bring 95, and rich's console 52"


def test_version_imports_little() -> None:
    code = f"""
import sys
from edgenet.commands.app import main
sys.argv = ["edgenet", "--version"]
try:
    main()
finally:
    print([name for name in {(*HEAVY, "edgenet.commands.convert")!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"edgenet {version('edgenet')}\n"
    assert done.stderr.strip() == "[]"


def test_verbs_are_functions_of_the_package_whatever_was_imported() -> None:
    """Other tests have imported most of it here; a module of a verb's name would take the function's place."""
    for name in (
        "zoo",
        "bundle",
        "data",
        "graph",
        "quantize",
        "tflite",
        "workflows.convert",
        "commands.convert",
    ):
        import_module(f"edgenet.{name}")
    for verb in VERBS:
        function = getattr(package, verb)
        assert inspect.isfunction(function), verb
        assert function.__module__.startswith("edgenet.workflows.")


def test_importing_the_package_is_light() -> None:
    code = f"import sys, edgenet; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_only_asks_and_changes_devices_computes_nothing() -> None:
    """So these start without numpy, OpenCV and the runtime, which takes half the time."""
    names = ("status", "deploy", "configure", "fleet", "fleet_deploy")
    code = f"""
import sys
from importlib import import_module
for name in {names!r}:
    import_module(f"edgenet.workflows.{{name}}")
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_inspecting_and_reporting_import_no_torch(made: Path) -> None:
    """It takes longer to import than everything else that they do."""
    code = f"""
import sys
import edgenet
edgenet.report
print(edgenet.inspect({str(made / "int8.tflite")!r}).precision, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "int8 False\n"


@pytest.mark.parametrize(("given", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")])
def test_threads_that_wait_do_not_spin(given: dict[str, str], threads: str) -> None:
    """OpenBLAS reads its variable when numpy is imported; a user's own setting is kept."""
    code = """
import os, sys
from edgenet.commands.app import main
loaded = "numpy" in sys.modules
sys.argv = ["edgenet", "--version"]
try:
    main()
finally:
    print(loaded, os.environ["OMP_WAIT_POLICY"], os.environ["OPENBLAS_NUM_THREADS"])
"""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "OPENBLAS_"))
    } | given
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"False PASSIVE {threads}"


@pytest.mark.slow
def test_converting_imports_onnx_only_for_an_onnx() -> None:
    """The import would take 20 MB of memory permanently."""
    code = (
        "import sys, edgenet.workflows.convert;"
        "print([name for name in ('onnx', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_a_function_with_a_docstring(edgenet: Edgenet, verb: str) -> None:
    ran = edgenet(verb, "--help")
    assert ran.status == 0
    assert ran.err == ""
    assert f"Usage: edgenet {verb}" in ran.out
    assert "--json" in ran.out
    assert inspect.getdoc(getattr(package, verb))


def test_one_line_says_what_each_verb_is_for(edgenet: Edgenet) -> None:
    lines = edgenet("--help").out.splitlines()
    for verb in VERBS:
        (line,) = (line for line in lines if line.strip().startswith(f"{verb} "))
        assert line.endswith("."), f"cut off: {line}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("convert",),
        ("convert", "x.npz", "--out", "x.tflite"),
        ("convert", "x.npz", "--out", "x.tflite", "--float", "--calibration", "photos"),
        ("convert", "x.npz", "--out", "x.tflite", "--float", "--photos", "5"),
        ("convert", "x.npz", "--out", "x.tflite", "--float", "--recipe", "minmax"),
        ("convert", "x.npz", "--out", "x.tflite", "--calibration", "photos", "--photos", "0"),
        ("convert", "x.npz", "--out", "x.tflite", "--calibration", "photos", "--photos", "many"),
        ("convert", "x.onnx", "--out", "x.tflite", "--float", "--input-shape", "1,3,big,big"),
        ("evaluate", "x.tflite"),
        ("evaluate", "--data", "photos"),
        ("evaluate", "x.tflite", "--data", "photos", "--limit", "0"),
        ("inspect", "x.tflite", "--against", "x.npz"),
        ("inspect", "x.tflite", "--data", "photos"),
        ("inspect", "x.tflite", "--photos", "3"),
        ("inspect", "x.tflite", "--normalization", "imagenet"),
        ("inspect", "x.tflite", "--plot", "x.png"),
        ("package", "x.tflite", "--float-source", "x.npz"),
        ("demo", "--frames", "3"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(edgenet: Edgenet, arguments: tuple[str, ...]) -> None:
    ran = edgenet(*arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert "Usage: edgenet" in ran.err
    assert "Error: " in ran.err
    assert "Traceback" not in ran.err


def test_no_arguments_show_the_help(edgenet: Edgenet) -> None:
    ran = edgenet()
    assert "Commands:" in ran.out + ran.err


def test_exit_status_of_a_process(process: Edgenet, tmp_path: Path) -> None:
    assert process("--help").status == 0
    assert process("convert").status == 2
    missing = tmp_path / "no.tflite"
    process("inspect", missing).refusal("no.tflite does not exist")


def test_a_fault_of_ours_is_one_line_too(edgenet: Edgenet, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(prog_name: str) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("edgenet.commands.app.app", broken)
    monkeypatch.delenv("EDGENET_TRACEBACK", raising=False)
    ran = edgenet("models")
    assert ran.status == 1
    assert ran.err.count("\n") == 1
    assert "fault of edgenet itself (RuntimeError: two lines); set EDGENET_TRACEBACK=1" in ran.err
    monkeypatch.setenv("EDGENET_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="two"):
        edgenet("models")


def test_an_error_is_one_line_whatever_the_file_is_called(edgenet: Edgenet, tmp_path: Path) -> None:
    edgenet("inspect", tmp_path / "two\nlines.tflite").refusal("two lines.tflite")


def test_closing_the_pipe_is_not_an_error() -> None:
    """The reader closes the pipe, as in `edgenet convert --help | head -1`."""
    command = [str(SCRIPT), "convert", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""


def heed_interrupts() -> None:
    """What a terminal's programs do; one that a script started in the background ignores Ctrl-C, and its tests too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_ends_quietly_and_leaves_nothing(made: Path, tmp_path: Path) -> None:
    command = [str(SCRIPT), "convert", str(made / "small.safetensors"), "-o", str(tmp_path / "x.tflite")]
    with subprocess.Popen(
        [*command, "--calibration", str(PHOTOS)], stderr=subprocess.PIPE, preexec_fn=heed_interrupts
    ) as running:
        while b"libtorch" not in Path(f"/proc/{running.pid}/maps").read_bytes():  # it imports torch
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_before_the_command_line_is_imported_is_quiet() -> None:
    code = "import os, signal; import edgenet.__main__; os.kill(os.getpid(), signal.SIGINT); print('went on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, preexec_fn=heed_interrupts)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_the_package_itself_imports_nothing() -> None:
    """Until edgenet.__main__ runs, Ctrl-C would show a traceback; and whoever uses a part pays for that part only."""
    code = "import sys; before = set(sys.modules); import edgenet; print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert set(done.stdout.split()) == {"edgenet", "__future__"}
