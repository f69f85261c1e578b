"""Write and open bundles. A bundle is an uncompressed zip; the same inputs give the same bytes. It holds:

    manifest.json   facts about the model, and the checksums of the other members (see `manifest`)
    model.tflite    the network
    labels.txt      a name for each output
    CARD.md         the same facts for people (see `card`)

The manifest holds no checksum of itself; the zip's CRC-32 guards it. Checksums find damage, not malice:
anyone who can change a bundle can change its manifest too.
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
    """The contents of a bundle whose checksums were all correct."""

    manifest: Manifest
    model: bytes
    labels: tuple[str, ...]
    card: str


def write_bundle(path: str | Path, model: bytes, labels: Sequence[str], facts: Facts) -> Manifest:
    """Pack a model into the bundle `path`, atomically (see `write_atomically`).

    Args:
        path: the file to write, usually `NAME.edgenet`.
        model: the contents of a .tflite file with input uint8 [1, H, W, 3] and output float32 [1, N].
        labels: N names, in the order of the outputs.
        facts: facts that cannot be read from the model.

    Returns:
        The manifest that was written.

    Raises:
        EdgenetError: there are more or fewer labels than outputs; the labels differ from those inside the
            model; the model has another input or output; or the file cannot be written.
    """
    labels_file = labels_text(labels)
    draft = _draft(model, labels, facts, {MODEL: model, LABELS: labels_file})
    card = write_card(draft).encode()
    manifest = dataclasses.replace(draft, members={**draft.members, CARD: _member(card)})
    members = {MANIFEST_FILE: to_json(manifest), MODEL: model, LABELS: labels_file, CARD: card}
    write_atomically(path, stored_zip(members))
    return manifest


def open_bundle(path: str | Path) -> Bundle:
    """Read a bundle and verify every byte of it.

    Raises:
        EdgenetError: the file cannot be read or is not a bundle; it is cut off or changed; a member is
            missing, unknown, or has a name that leads out of the bundle's folder; or the schema is newer than
            this edgenet.
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
    """Return the manifest without the card's entry, because the card is made from this manifest."""
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
    # Phone clients read the labels inside the model, device scripts those beside it, so the two must agree.
    for number, (inside, beside) in enumerate(zip(read_labels(model) or [], labels, strict=False)):
        if inside != beside:
            raise EdgenetError(
                f"label {number} is {beside!r} but the model itself carries {inside!r}",
                "convert the model with these labels, or leave them out to use its own",
            )


def _member(data: bytes) -> Member:
    return Member(sha256(data), len(data))
