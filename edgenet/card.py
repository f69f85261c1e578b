"""The model card of a bundle, `CARD.md`: what the manifest records, in Markdown, for people."""

from __future__ import annotations

from edgenet_device.ports import RECTANGLE_RULE, RULE

from edgenet.manifest import InputContract, Manifest, UnknownAnswer

_RESIZE_RULES = {
    RULE: "the centred square of the photo, resized bilinearly (a square of three times the size "
    "or more is first halved until it is less than twice the size). Squashing or padding "
    "the photo instead costs accuracy.",
    RECTANGLE_RULE: "the largest centred rectangle of the photo with the aspect ratio of the input, resized "
    "bilinearly (a rectangle of three times the size or more is first halved until it is less than twice the size).",
}


def write_card(manifest: Manifest) -> str:
    """Return the text of `CARD.md`: only recorded facts, and the same text for the same manifest."""
    sections = [
        f"# {manifest.name}\n\n{_summary(manifest)}",
        f"## Input and output\n\n{_contract(manifest)}",
        f"## Use it\n\n{_use(manifest)}",
        f"## Accuracy\n\n{_accuracy(manifest)}",
        *([f"## Unknown things\n\n{_unknown(manifest.unknown)}"] if manifest.unknown else []),
        f"## Quantization\n\n{_quantization(manifest)}",
        f"## Weights\n\n{_weights(manifest)}",
        f"## Made with\n\n{_tools(manifest)}",
    ]
    return "\n\n".join(sections) + "\n"


def _summary(manifest: Manifest) -> str:
    precision = "int8" if manifest.quantization else manifest.precision or "float"
    kind = f"{'An' if precision.startswith('i') else 'A'} {precision}"
    known, more = (
        (manifest.classes - 1, " and unknown things") if manifest.unknown else (manifest.classes, "")
    )
    maker = "packed" if manifest.precision else "made"
    text = f"{kind} image classifier for {known:,} classes{more}, {maker} by edgenet"
    if manifest.architecture is None:
        return f"{text}. Its architecture is not recorded: it came from a model file."
    details = [manifest.architecture]
    if manifest.width is not None:
        details.append(f"width multiplier {manifest.width:g}")
    if manifest.resolution is not None:
        details.append(f"resolution {manifest.resolution}")
    return f"{text}: {', '.join(details)}."


def _contract(manifest: Manifest) -> str:
    source, target = manifest.input, manifest.output
    channels = 1 if source.colour_order == "grey" else 3
    return (
        f"- Input `{source.name}`: {source.dtype} [1, {source.height}, {source.width}, {channels}], "
        f"{source.colour_order}, {_values(source)}.\n"
        f"- Resize rule `{source.resize_rule}`: {_RESIZE_RULES.get(source.resize_rule, 'see edgenet')}\n"
        f"- Output `{target.name}`: {target.dtype} [1, {target.classes}], a {target.meaning} for each line "
        "of `labels.txt`."
    )


def _values(source: InputContract) -> str:
    """Return what becomes of the pixels before the network."""
    if source.mean is not None and source.std is not None:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (source.mean, source.std))
        return f"pixels 0 to 255 go through (pixel - mean) / std with mean {mean} and std {std}"
    if source.dtype == "int8":
        return "values 0 to 255 as decoded, minus 128; the scale of the input is the normalization"
    return "values 0 to 255 as decoded; the network does the normalization itself"


def _use(manifest: Manifest) -> str:
    source, target = manifest.input, manifest.output
    script = (
        "On a device, with the folder that `edgenet export-scripts device_scripts` writes:\n\n"
        f"```sh\npython3 device_scripts/classify.py {manifest.name}.edgenet photo.jpg\n```\n\n"
    )
    if source.dtype != "uint8" or source.mean is not None or source.colour_order != "RGB":
        return (
            f"{script}In Python:\n\n```python\n"
            f'import edgenet\nprint(edgenet.load("{manifest.name}.edgenet").top("photo.jpg"))\n```'
        )
    return (
        f"{script}In Python, where `photo` is a {source.dtype} array [1, {source.height}, {source.width}, 3]:\n\n"
        "```python\n"
        'classify = ai_edge_litert.interpreter.Interpreter("model.tflite").get_signature_runner()\n'
        f'scores = classify({source.name}=photo)["{target.name}"][0]\n'
        'print(open("labels.txt").read().split("\\n")[scores.argmax()], scores.max())\n'
        "```"
    )


def _accuracy(manifest: Manifest) -> str:
    accuracy = manifest.accuracy
    if accuracy is None:
        return "Not measured."
    rows = (("float", accuracy.float_top1), (manifest.precision or "int8", accuracy.int8_top1))
    lines = [f"| {name} | {_percent(value)} |" for name, value in rows]
    table = "\n".join(["| | top-1 |", "|---|---|", *lines])
    return f"{table}\n\nOver {accuracy.n:,} photos: {accuracy.data}."


def _unknown(unknown: UnknownAnswer) -> str:
    kept = (
        f"The output `{unknown.label}` answers for other things. {unknown.kept:.1f} % of the user's photos stay "
        "known."
    )
    if unknown.false_alarms is None or unknown.auroc is None:
        return f"{kept} It was not judged on photos of other things."
    return (
        f"{kept} {unknown.false_alarms:.1f} % of photos of other things are called a known class; the area under "
        f"the ROC curve is {unknown.auroc:.3f}. Judged on photos held out: {unknown.background}. Things that look "
        "like a class are called known more often."
    )


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f} %"


def _quantization(manifest: Manifest) -> str:
    quantization = manifest.quantization
    if quantization is None and manifest.precision:
        return f"{manifest.precision}, made by another tool."
    if quantization is None:
        return "None: weights and arithmetic are float32."
    steps = ", ".join(quantization.steps) or "no further steps"
    return (
        f"Recipe `{quantization.recipe}`: {steps}. Calibrated on {quantization.calibration_count:,} photos "
        f"(SHA-256 {quantization.calibration_sha256})."
    )


def _weights(manifest: Manifest) -> str:
    weights = manifest.weights
    lines = [f"- Origin: {weights.origin}", f"- Licence: {weights.licence}"]
    if weights.sha256 is not None:
        lines.append(f"- SHA-256 of the weights' original file: {weights.sha256}")
    lines.append(f"- SHA-256 of `model.tflite`: {manifest.members['model.tflite'].sha256}")
    return "\n".join(lines)


def _tools(manifest: Manifest) -> str:
    known = [f"{name} {version}" for name, version in sorted(manifest.tools.items()) if version is not None]
    return ", ".join(known) + "." if known else "Not recorded."
