"""Writes whole .tflite files: the program, its metadata, its labels, and edgenet's facts about its origin."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from edgenet.data.labels import labels_text
from edgenet.errors import EdgenetError
from edgenet.manifest import Facts, decode
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.metadata import LABELS_FILE, ImageTensor, ModelInfo, metadata_buffer, read_files
from edgenet.tflite.program import Program

FACTS_FILE = "edgenet.json"


def write_model(program: Program, facts: Facts, labels: Sequence[str] | None) -> bytes:
    """Return the bytes of a .tflite file with its metadata, labels and facts.

    Args:
        program: in the layout that every client takes (see `from_graph`).
        facts: kept beside the labels as JSON, for `edgenet package`.
        labels: one per output, or None to write none.
    """
    image = program.tensors[program.input]
    assert image.quantization is not None
    pixels = image.quantization
    metadata = metadata_buffer(
        ModelInfo(
            facts.name, f"Image classifier, {_kind(facts)}.", author="edgenet", licence=facts.weights.licence
        ),
        ImageTensor(image.name, mean=float(pixels.zero_points[0]), std=1 / pixels.scales[0]),
        program.tensors[program.output].name,
        LABELS_FILE if labels is not None else None,
    )
    files = {LABELS_FILE: labels_text(labels)} if labels is not None else {}
    text = json.dumps(dataclasses.asdict(facts), sort_keys=True, indent=1, ensure_ascii=False)
    return write_tflite(program, metadata, {**files, FACTS_FILE: text.encode()})


def _kind(facts: Facts) -> str:
    return "float32" if facts.quantization is None else f"int8, recipe {facts.quantization.recipe}"


def read_facts(tflite: bytes, where: str) -> Facts | None:
    """Return the facts that `write_model` stored, or None for another tool's file.

    Args:
        tflite: the bytes of the file.
        where: how error messages call the file.

    Raises:
        EdgenetError: the facts are damaged.
    """
    files = read_files(tflite)
    if FACTS_FILE not in files:
        return None
    try:
        value = json.loads(files[FACTS_FILE])
    except (ValueError, RecursionError):  # RecursionError: brackets nested too deeply
        raise EdgenetError(f"{FACTS_FILE} in {where} is damaged", "convert the model again") from None
    return decode(Facts, value, f"{FACTS_FILE} in {where}")
