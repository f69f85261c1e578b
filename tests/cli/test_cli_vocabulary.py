"""One vocabulary: an option has the same help everywhere, older names still work, and the help states the truth."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import typer
from command_line import Edgenet

from edgenet.commands.app import COMMANDS, app

DIFFERING = {
    "--out": "what a command writes differs",
    "--data": "some commands take labels, some take class folders, some any photos",
    "--on": "some devices cannot do what a command needs",
    "--threads": "bench and compare try several counts",
    "--architecture": "train says that it counts without VARIANT only",
    "--resolution": "as --architecture",
    "--precision": "train computes with it, convert writes it",
    "--budget-ms": "as --architecture",
    "--from-scratch": "as --architecture",
    "--format": "convert writes a file, camera and capture ask a camera for pictures",
}
"""The options whose help may differ, and why."""
ALIASES = [
    ("deploy", "--on", "--to", "adb"),
    ("sweep", "--on", "--target", "adb"),
    ("select", "--on", "--target", "adb"),
    ("sweep", "--settle", "--calm", "5"),
    ("select", "--settle", "--calm", "5"),
    ("bench", "--settle", "--calm", "5"),
    ("compare", "--settle", "--calm", "5"),
    ("convert", "--recipe", "--quantization", "fast"),
    ("train", "--recipe", "--quantization", "fast"),
    ("sweep", "--recipe", "--quantization", "fast"),
    ("select", "--recipe", "--quantization", "fast"),
    ("convert", "--normalization", "--normalize", "imagenet"),
    ("evaluate", "--normalization", "--normalize", "imagenet"),
    ("inspect", "--normalization", "--normalize", "imagenet"),
]
REQUIRED = {
    "deploy": ("a.edgenet",),
    "sweep": ("--data", "photos", "--out", "grid"),
    "select": ("--data", "photos", "--out", "chosen", "--budget-ms", "5"),
    "bench": ("a.edgenet",),
    "compare": ("a.edgenet", "b.edgenet"),
    "convert": ("a.onnx", "--out", "a.tflite", "--calibration", "photos"),
    "train": ("--qat", "--pretrained", "a.safetensors", "--data", "photos", "--out", "run"),
    "evaluate": ("a.onnx", "--data", "photos"),
    "inspect": ("a.tflite", "--against", "a.onnx", "--data", "photos"),
}
"""Arguments with which each command would begin its work."""


def options() -> Iterator[tuple[str, Any]]:
    """Every command's name with every option that its help shows."""
    group = typer.main.get_command(app)
    for verb, command in group.commands.items():
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                yield verb, parameter


def test_the_same_option_has_the_same_help_everywhere() -> None:
    texts: dict[str, set[str]] = defaultdict(set)
    for _, option in options():
        texts[max(option.opts, key=len)].add(option.help)
    assert {name for name, found in texts.items() if len(found) > 1} <= DIFFERING.keys()
    for name, found in texts.items():
        for text in found:
            assert text, f"{name} has no help"
            assert text.removesuffix("  [required]").endswith("."), text
            assert text[0].isupper(), text


def test_a_device_is_always_on_and_other_words_are_one_too() -> None:
    names = {name for _, option in options() for name in option.opts}
    assert {"--on", "--recipe", "--normalization", "--settle", "--source"} <= names
    assert not names & {"--to", "--target", "--quantization", "--normalize", "--calm", "--camera"}


@pytest.mark.parametrize(("verb", "name", "alias", "value"), ALIASES)
def test_an_older_name_is_hidden_and_means_the_same(
    edgenet: Edgenet, monkeypatch: pytest.MonkeyPatch, verb: str, name: str, alias: str, value: str
) -> None:
    given: list[dict[str, Any]] = []
    command = typer.main.get_command(app).commands[verb]
    for option in (name, alias):
        with command.make_context(verb, [*REQUIRED[verb], option, value]) as context:
            given.append(
                {key: found for key, found in context.params.items() if found not in (None, False, ())}
            )
    (one, other) = given
    (older,) = other.keys() - one.keys()
    expected = [value] if isinstance(other[older], list) else float(value) if value == "5" else value
    assert str(other[older]) == str(one[name.strip("-")]) == str(expected)
    assert alias not in edgenet(verb, "--help").out


@pytest.mark.parametrize(("verb", "name", "alias", "value"), ALIASES)
def test_an_option_and_its_older_name_together_are_wrong_usage(
    edgenet: Edgenet, verb: str, name: str, alias: str, value: str
) -> None:
    ran = edgenet(verb, *REQUIRED[verb], name, value, alias, value)
    assert ran.status == 2
    assert f"{name} and {alias} are the same option; give it once" in " ".join(ran.err.split())


def test_a_required_option_may_be_given_by_its_older_name_but_not_left_out(edgenet: Edgenet) -> None:
    ran = edgenet("deploy", "a.edgenet")
    assert ran.status == 2
    assert "give --on TARGET" in ran.err
    assert "[required]" in edgenet("deploy", "--help").out
    ran = edgenet("deploy", "none.edgenet", "--to", "local")
    assert ran.status == 1, ran.err


@pytest.mark.parametrize("verb", COMMANDS)
def test_h_is_help(edgenet: Edgenet, verb: str) -> None:
    assert edgenet(verb, "-h").out == edgenet(verb, "--help").out != ""


def test_h_is_help_of_the_app_too(edgenet: Edgenet) -> None:
    assert edgenet("-h").out == edgenet("--help").out
    assert "Exit status:\n    0 " in edgenet("-h").out


def shown(verb: str, name: str) -> str:
    """The part of a command's help about one option, in one line."""
    (option,) = (option for command, option in options() if command == verb and name in option.opts)
    context = typer.Context(typer.main.get_command(app).commands[verb])
    return " ".join(option.get_help_record(context))


def default(verb: str, name: str) -> str:
    """The default that the help states."""
    found = re.search(r"\[default: \(?([^)\];]+)", shown(verb, name))
    assert found, shown(verb, name)
    return found.group(1)


def test_the_help_states_every_recipe_and_the_true_default() -> None:
    from edgenet.quantize.recipes import DEFAULT_RECIPE, RECIPES

    for verb in ("convert", "train", "sweep", "select"):
        assert f"<{'|'.join(RECIPES)}>" in shown(verb, "--recipe")
        assert default(verb, "--recipe") == DEFAULT_RECIPE


def test_the_help_states_every_backend() -> None:
    from edgenet.workflows.calibration import BACKENDS

    assert f"<{'|'.join(BACKENDS)}>" in shown("convert", "--backend")
    assert default("convert", "--backend") == BACKENDS[0]


def test_the_help_states_every_protocol() -> None:
    from edgenet_device.latency.report import PROTOCOLS

    for verb in ("bench", "compare"):
        assert f"<{'|'.join(PROTOCOLS)}>" in shown(verb, "--protocol")
        for protocol in PROTOCOLS.values():
            assert f"at least {protocol.runs:,} runs and {protocol.min_seconds:g} s" in shown(
                verb, "--protocol"
            )


def test_the_help_states_every_architecture() -> None:
    from edgenet.zoo.registry import ARCHITECTURES

    for verb, name in (("sweep", "--architecture"), ("select", "--architectures")):
        assert f": {', '.join(ARCHITECTURES)}." in shown(verb, name)


def test_the_help_states_every_normalization_and_precision() -> None:
    from edgenet.training.recipe import Precision
    from edgenet.workflows.sources import NORMALIZATIONS

    assert f": {', '.join(NORMALIZATIONS)}, or" in shown("convert", "--normalization")
    assert f"<{'|'.join(get_args(Precision))}>" in shown("train", "--precision")


def test_the_help_states_the_true_defaults_of_photos() -> None:
    from edgenet.workflows import calibration, inspect

    assert default("convert", "--photos") == str(calibration.PHOTOS)
    assert default("inspect", "--photos") == str(inspect.PHOTOS)


def test_the_help_states_the_true_defaults_of_training() -> None:
    from edgenet.training.recipe import Distillation, Recipe
    from edgenet.workflows.train import TrainingOptions

    recipe, options = Recipe(), TrainingOptions()
    true = {
        "--epochs": recipe.epochs,
        "--batch": recipe.batch,
        "--learning-rate": recipe.learning_rate,
        "--weight-decay": recipe.weight_decay,
        "--warmup-epochs": recipe.warmup_epochs,
        "--label-smoothing": recipe.label_smoothing,
        "--ema-decay": recipe.ema_decay,
        "--seed": recipe.seed,
        "--crop-scale": recipe.augmentation.crop_scale,
        "--colour": recipe.augmentation.colour,
        "--mixup": recipe.augmentation.mixup,
        "--freeze-epochs": recipe.freeze_epochs,
        "--teacher-weight": Distillation().weight,
        "--temperature": Distillation().temperature,
        "--hold-out": options.hold_out,
    }
    assert {name: float(default("train", name)) for name in true} == true
    assert default("train", "--device") == options.device
    assert default("train", "--precision") == recipe.precision


def test_the_help_states_what_pretrained_and_qat_change() -> None:
    from edgenet.workflows.train import FINE_TUNING, QUANTIZATION_AWARE

    for option, field in (("--epochs", "epochs"), ("--learning-rate", "learning_rate"), ("--batch", "batch")):
        tuned, aware = getattr(FINE_TUNING, field), getattr(QUANTIZATION_AWARE, field)
        assert f"; {tuned} with pretrained weights" in shown("train", option)
        assert aware == tuned or f"{aware} with --qat" in shown("train", option)


def test_a_default_names_no_option_that_its_command_lacks() -> None:
    names: dict[str, set[str]] = defaultdict(set)
    named: dict[str, set[str]] = defaultdict(set)
    for verb, option in options():
        names[verb] |= set(option.opts)
        named[verb] |= set(re.findall(r"--[a-z][a-z-]*", str(option.show_default)))
    assert named["train"], "the defaults of train depend on other options"
    assert {verb: found - names[verb] for verb, found in named.items() if found - names[verb]} == {}


def test_the_list_of_commands_cuts_no_sentence_off(edgenet: Edgenet) -> None:
    listed = edgenet("--help").out.partition("Commands:")[2].partition("Exit status:")[0]
    assert "convert" in listed
    assert [line for line in listed.splitlines() if line.endswith("...")] == []
