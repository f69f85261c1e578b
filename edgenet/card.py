"""Write the model card: the manifest's facts for people, as Markdown."""

from __future__ import annotations

from edgenet.manifest import Accuracy, Manifest, Quantization

_RESIZE_RULES = {
    "centre-square": "the centred square of the photo, resized bilinearly (a square of three times the size "
    "or more is first halved until it is less than twice the size). Squashing or padding "
    "the photo instead costs accuracy.",
}


def write_card(manifest: Manifest) -> str:
    """Return the text of `CARD.md`: only recorded facts, and the same text for the same manifest."""
    sections = [
        f"# {manifest.name}\n\n{_summary(manifest)}",
        f"## Input and output\n\n{_contract(manifest)}",
        f"## Use it\n\n{_use(manifest)}",
        f"## Accuracy\n\n{_accuracy(manifest.accuracy)}",
        f"## Quantization\n\n{_quantization(manifest.quantization)}",
        f"## Weights\n\n{_weights(manifest)}",
        f"## Made with\n\n{_tools(manifest)}",
    ]
    return "\n\n".join(sections) + "\n"


def _summary(manifest: Manifest) -> str:
    kind = "A float" if manifest.quantization is None else "An int8"
    text = f"{kind} image classifier for {manifest.classes:,} classes, made by edgenet"
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
    return (
        f"- Input `{source.name}`: {source.dtype} [1, {source.height}, {source.width}, 3], "
        f"{source.colour_order}, values 0 to 255 as decoded; the network does the normalization itself.\n"
        f"- Resize rule `{source.resize_rule}`: {_RESIZE_RULES.get(source.resize_rule, 'see edgenet')}\n"
        f"- Output `{target.name}`: {target.dtype} [1, {target.classes}], a {target.meaning} for each line "
        "of `labels.txt`."
    )


def _use(manifest: Manifest) -> str:
    source, target = manifest.input, manifest.output
    return (
        "On a device, with the folder that `edgenet export-scripts device_scripts` writes:\n\n"
        f"```sh\npython3 device_scripts/classify.py {manifest.name}.edgenet photo.jpg\n```\n\n"
        f"In Python, where `photo` is a {source.dtype} array [1, {source.height}, {source.width}, 3]:\n\n"
        "```python\n"
        'classify = ai_edge_litert.interpreter.Interpreter("model.tflite").get_signature_runner()\n'
        f'scores = classify({source.name}=photo)["{target.name}"][0]\n'
        'print(open("labels.txt").read().split("\\n")[scores.argmax()], scores.max())\n'
        "```"
    )


def _accuracy(accuracy: Accuracy | None) -> str:
    if accuracy is None:
        return "Not measured."
    rows = (("float", accuracy.float_top1), ("int8", accuracy.int8_top1))
    lines = [f"| {name} | {_percent(value)} |" for name, value in rows]
    table = "\n".join(["| | top-1 |", "|---|---|", *lines])
    return f"{table}\n\nOver {accuracy.n:,} photos: {accuracy.data}."


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f} %"


def _quantization(quantization: Quantization | None) -> str:
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
