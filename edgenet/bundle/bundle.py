"""Writing and opening a bundle: a zip, stored, the same bytes for the same inputs.

    manifest.json   what follows, with checksums (see `manifest`)
    model.tflite    the network
    labels.txt      a name for each output
    CARD.md         the same facts for people (see `card`)

The manifest has no checksum in itself; the zip's CRC-32 guards it. Checksums find damage, not malice: who can
change a bundle can change its manifest too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from edgenet.bundle.card import write_card
from edgenet.bundle.contract import read_contract
from edgenet.bundle.manifest import MANIFEST_FILE, SCHEMA_VERSION, Facts, Manifest, Member, to_json
from edgenet.bundle.verify import CARD, LABELS, MODEL, verified_members
from edgenet.bundle.versions import tool_versions
from edgenet.errors import EdgenetError
from edgenet.files import sha256, stored_zip, write_atomically
from edgenet.labels import labels_text, parse_labels
from edgenet.tflite.metadata import read_labels


@dataclasses.dataclass(frozen=True)
class Bundle:
    """The contents of a bundle whose checksums were all right."""

    manifest: Manifest
    model: bytes
    labels: tuple[str, ...]
    card: str


def write_bundle(path: str | Path, model: bytes, labels: Sequence[str], facts: Facts) -> Manifest:
    """Packs a model into the bundle `path`, atomically (see `write_atomically`).

    Args:
        path: usually `NAME.edgenet`.
        model: a .tflite file: input uint8 [1, H, W, 3], output float32 [1, N].
        labels: N names, in the order of the outputs.
        facts: what cannot be read from the model.

    Returns:
        The manifest as it was written.

    Raises:
        EdgenetError: the labels' count differs from the outputs', or the labels from those inside the model;
            the model is of another form; the file cannot be written.
    """
    labels_file = labels_text(labels)
    draft = _draft(model, labels, facts, {MODEL: model, LABELS: labels_file})
    card = write_card(draft).encode()
    manifest = dataclasses.replace(draft, members={**draft.members, CARD: _member(card)})
    members = {MANIFEST_FILE: to_json(manifest), MODEL: model, LABELS: labels_file, CARD: card}
    write_atomically(path, stored_zip(members))
    return manifest


def open_bundle(path: str | Path) -> Bundle:
    """Reads a bundle and verifies every byte of it.

    Raises:
        EdgenetError: what is wrong, in one line: not a bundle, cut off, changed, a member missing or too
            many, a name that climbs out, a newer schema.
    """
    path = Path(path)
    try:
        manifest, members = verified_members(path)
        labels = parse_labels(members[LABELS], LABELS)
        if len(labels) != manifest.classes:
            raise EdgenetError(
                f"labels.txt names {len(labels)} classes and the manifest says {manifest.classes}",
                "make the bundle again",
            )
        card = members[CARD].decode()
    except UnicodeDecodeError as error:
        raise EdgenetError(f"{path}: CARD.md is not UTF-8 text", "make the bundle again") from error
    except EdgenetError as error:
        raise EdgenetError(f"{path}: {error.found}", error.remedy) from error
    return Bundle(manifest, members[MODEL], tuple(labels), card)


def _draft(model: bytes, labels: Sequence[str], facts: Facts, members: dict[str, bytes]) -> Manifest:
    """The manifest but for the card, which is made from it."""
    source, target = read_contract(model)
    _check_labels(model, labels, target.classes)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=facts.name,
        architecture=facts.architecture,
        width=facts.width,
        resolution=facts.resolution,
        classes=target.classes,
        input=source,
        output=target,
        quantization=facts.quantization,
        accuracy=facts.accuracy,
        weights=facts.weights,
        tools=tool_versions(),
        members={name: _member(data) for name, data in members.items()},
    )


def _check_labels(model: bytes, labels: Sequence[str], outputs: int) -> None:
    if len(labels) != outputs:
        raise EdgenetError(
            f"there are {len(labels)} labels and the model has {outputs} outputs", "give one label per output"
        )
    # Phone clients read the labels inside the model, device scripts those beside it: they must not disagree.
    for number, (inside, beside) in enumerate(zip(read_labels(model) or [], labels, strict=False)):
        if inside != beside:
            raise EdgenetError(
                f"label {number} is {beside!r} but the model itself carries {inside!r}",
                "convert the model with these labels, or leave them out to use its own",
            )


def _member(data: bytes) -> Member:
    return Member(sha256(data), len(data))
