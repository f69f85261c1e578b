"""edgenet: from photos to a small int8 MobileNet that runs live on a Raspberry Pi or Android phone.

Every command of the command line is also a function of this package with the same name and the same words for its
arguments, such as `edgenet.convert`; `edgenet.load` opens a finished model:

    import edgenet

    edgenet.convert("mobilenet_v2_1.0_224", "v2.tflite", calibration="photos")
    model = edgenet.load("v2.tflite")
    print(model.top("cat.jpg", 3))

The module behind a name is imported when the name is first used, so that `import edgenet` stays fast.
"""

from __future__ import annotations

# Importing `typing` would take ten times as long as all the rest of this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgenet_device.classifier import Classifier
    from edgenet_device.frames.view import View

    from edgenet.accuracy import ClassLoss, Interval, Paired
    from edgenet.data.file_account import FileAccount
    from edgenet.data.photos import PhotoSet, open_photos
    from edgenet.devices.app_folders import OwnCode
    from edgenet.devices.device import DeviceFacts
    from edgenet.errors import EdgenetError
    from edgenet.graph.shapes import Cost
    from edgenet.latency.comparing import Candidate, Difference, Estimate
    from edgenet.latency.profile import OperatorTime, Profile
    from edgenet.latency.report_rows import ReportRow
    from edgenet.manifest import (
        Accuracy,
        Facts,
        InputContract,
        Manifest,
        Member,
        OutputContract,
        Quantization,
        UnknownAnswer,
        Weights,
    )
    from edgenet.progress import Log, Progress
    from edgenet.quantize.noise_shares import LayerShare, NoiseShares
    from edgenet.quantize.quantization_errors import ChannelUse, LayerError, LayerErrors
    from edgenet.signing import KeyPair
    from edgenet.training.processes import TrainingStopped
    from edgenet.training.state import EpochRow
    from edgenet.training.validation import ClassRow
    from edgenet.workflows.accuracy_gate import GateResult
    from edgenet.workflows.bench import Bench, Failure, bench
    from edgenet.workflows.calibration import Fidelity
    from edgenet.workflows.camera import CameraResult, CameraState, CaptureResult, camera, capture
    from edgenet.workflows.collect import Collected, collect
    from edgenet.workflows.configure import Configured, configure
    from edgenet.workflows.convert import Conversion, convert
    from edgenet.workflows.demo import Demo, DigitsDemo, demo
    from edgenet.workflows.deploy import Deployed, deploy, rollback
    from edgenet.workflows.evaluate import EvaluatedModel, Evaluation, evaluate
    from edgenet.workflows.fetch import Fetched, fetch
    from edgenet.workflows.fleet import FleetResult, FleetRow, configure_fleet, rollback_fleet, status_fleet
    from edgenet.workflows.fleet_deploy import deploy_fleet
    from edgenet.workflows.inspect import Inspection, OperatorRow, inspect
    from edgenet.workflows.layer_comparison import LayerComparison
    from edgenet.workflows.measuring import Report
    from edgenet.workflows.mixed_precision import KeptLayer, MixedPrecision
    from edgenet.workflows.models import (
        PaperRow,
        VariantRow,
        WeightsRow,
        compare_with_papers,
        list_weights,
        models,
    )
    from edgenet.workflows.package import ExportedScripts, Packed, export_scripts, load, package
    from edgenet.workflows.partitions import Partitions
    from edgenet.workflows.photo_arguments import Photos
    from edgenet.workflows.publish import Published, new_key, publish
    from edgenet.workflows.reports import Comparison, Reported, Side, compare, report
    from edgenet.workflows.review import Review, apply_review
    from edgenet.workflows.select import ReportedAccuracy, Selection, select
    from edgenet.workflows.status import DayRow, Status, status
    from edgenet.workflows.studio import studio
    from edgenet.workflows.sweep import Sweep, sweep
    from edgenet.workflows.sweep_plan import SweepRow, TrainedVariant
    from edgenet.workflows.teach import Teaching, teach
    from edgenet.workflows.teach_files import Int8File, Judged
    from edgenet.workflows.train import TrainingOptions, resume_training, train
    from edgenet.workflows.training_result import Int8Training, IntegerMatch, Training

    __version__: str

_NAMES = {
    "edgenet.accuracy": "ClassLoss Interval Paired",
    "edgenet.data.file_account": "FileAccount",
    "edgenet.data.photos": "PhotoSet open_photos",
    "edgenet.devices.app_folders": "OwnCode",
    "edgenet.devices.device": "DeviceFacts",
    "edgenet.errors": "EdgenetError",
    "edgenet.graph.shapes": "Cost",
    "edgenet.latency.comparing": "Candidate Difference Estimate",
    "edgenet.latency.profile": "OperatorTime Profile",
    "edgenet.latency.report_rows": "ReportRow",
    "edgenet.manifest": "Accuracy Facts InputContract Manifest Member OutputContract Quantization UnknownAnswer"
    " Weights",
    "edgenet.progress": "Log Progress",
    "edgenet.quantize.noise_shares": "LayerShare NoiseShares",
    "edgenet.quantize.quantization_errors": "ChannelUse LayerError LayerErrors",
    "edgenet.signing": "KeyPair",
    "edgenet.training.processes": "TrainingStopped",
    "edgenet.training.state": "EpochRow",
    "edgenet.training.validation": "ClassRow",
    "edgenet.workflows.accuracy_gate": "GateResult",
    "edgenet.workflows.bench": "Bench Failure bench",
    "edgenet.workflows.calibration": "Fidelity",
    "edgenet.workflows.camera": "CameraResult CameraState CaptureResult camera capture",
    "edgenet.workflows.collect": "Collected collect",
    "edgenet.workflows.configure": "Configured configure",
    "edgenet.workflows.convert": "Conversion convert",
    "edgenet.workflows.demo": "Demo DigitsDemo demo",
    "edgenet.workflows.deploy": "Deployed deploy rollback",
    "edgenet.workflows.evaluate": "EvaluatedModel Evaluation evaluate",
    "edgenet.workflows.fetch": "Fetched fetch",
    "edgenet.workflows.models": "PaperRow VariantRow WeightsRow compare_with_papers list_weights models",
    "edgenet.workflows.fleet": "FleetResult FleetRow configure_fleet rollback_fleet status_fleet",
    "edgenet.workflows.fleet_deploy": "deploy_fleet",
    "edgenet.workflows.inspect": "Inspection OperatorRow inspect",
    "edgenet.workflows.publish": "new_key Published publish",
    "edgenet.workflows.layer_comparison": "LayerComparison",
    "edgenet.workflows.measuring": "Report",
    "edgenet.workflows.mixed_precision": "KeptLayer MixedPrecision",
    "edgenet.workflows.package": "ExportedScripts Packed export_scripts load package",
    "edgenet.workflows.partitions": "Partitions",
    "edgenet.workflows.photo_arguments": "Photos",
    "edgenet.workflows.reports": "Comparison Reported Side compare report",
    "edgenet.workflows.review": "Review apply_review",
    "edgenet.workflows.select": "ReportedAccuracy Selection select",
    "edgenet.workflows.status": "DayRow Status status",
    "edgenet.workflows.studio": "studio",
    "edgenet.workflows.sweep": "Sweep sweep",
    "edgenet.workflows.sweep_plan": "SweepRow TrainedVariant",
    "edgenet.workflows.teach": "Teaching teach",
    "edgenet.workflows.teach_files": "Int8File Judged",
    "edgenet.workflows.train": "TrainingOptions resume_training train",
    "edgenet.workflows.training_result": "Int8Training IntegerMatch Training",
    "edgenet_device.classifier": "Classifier",
    "edgenet_device.frames.view": "View",
}
"""The public names of each module."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "Accuracy",
    "Bench",
    "CameraResult",
    "CameraState",
    "Candidate",
    "CaptureResult",
    "ChannelUse",
    "ClassLoss",
    "ClassRow",
    "Classifier",
    "Collected",
    "Comparison",
    "Configured",
    "Conversion",
    "Cost",
    "DayRow",
    "Demo",
    "Deployed",
    "DeviceFacts",
    "Difference",
    "DigitsDemo",
    "EdgenetError",
    "EpochRow",
    "Estimate",
    "EvaluatedModel",
    "Evaluation",
    "ExportedScripts",
    "Facts",
    "Failure",
    "Fetched",
    "Fidelity",
    "FileAccount",
    "FleetResult",
    "FleetRow",
    "GateResult",
    "InputContract",
    "Inspection",
    "Int8File",
    "Int8Training",
    "IntegerMatch",
    "Interval",
    "Judged",
    "KeptLayer",
    "KeyPair",
    "LayerComparison",
    "LayerError",
    "LayerErrors",
    "LayerShare",
    "Log",
    "Manifest",
    "Member",
    "MixedPrecision",
    "NoiseShares",
    "OperatorRow",
    "OperatorTime",
    "OutputContract",
    "OwnCode",
    "Packed",
    "Paired",
    "PaperRow",
    "Partitions",
    "PhotoSet",
    "Photos",
    "Profile",
    "Progress",
    "Published",
    "Quantization",
    "Report",
    "ReportRow",
    "Reported",
    "ReportedAccuracy",
    "Review",
    "Selection",
    "Side",
    "Status",
    "Sweep",
    "SweepRow",
    "Teaching",
    "TrainedVariant",
    "Training",
    "TrainingOptions",
    "TrainingStopped",
    "UnknownAnswer",
    "VariantRow",
    "View",
    "Weights",
    "WeightsRow",
    "apply_review",
    "bench",
    "camera",
    "capture",
    "collect",
    "compare",
    "compare_with_papers",
    "configure",
    "configure_fleet",
    "convert",
    "demo",
    "deploy",
    "deploy_fleet",
    "evaluate",
    "export_scripts",
    "fetch",
    "inspect",
    "list_weights",
    "load",
    "models",
    "new_key",
    "open_photos",
    "package",
    "publish",
    "report",
    "resume_training",
    "rollback",
    "rollback_fleet",
    "select",
    "status",
    "status_fleet",
    "studio",
    "sweep",
    "teach",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("edgenet")
    if name not in _HOMES:
        raise AttributeError(f"module 'edgenet' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
