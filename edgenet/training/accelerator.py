"""The device that a training computes on: chosen by its name, checked to be there, and what it can do.

It is a CUDA GPU, the GPU of an Apple computer (MPS), or the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from edgenet.errors import EdgenetError
from edgenet.training.recipe import Precision, check_device_name


def local_device(name: str, environment: Mapping[str, str] = os.environ) -> torch.device:
    """Return the device of this process.

    Args:
        name: "auto" (a CUDA GPU if there is one, else MPS if there is one, else the CPU), "cpu", "mps", "cuda" or
            "cuda:N". "auto" and "cuda" give each process on this machine a CUDA GPU of its own.
        environment: the environment variables that `torchrun` sets.

    Raises:
        EdgenetError: the name is not one of these, or this machine has no such device.
    """
    check_device_name(name)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if gpus else "mps" if mps else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        index = int(environment.get("LOCAL_RANK", "0")) if device.index is None else device.index
        if index >= gpus:
            raise _no_such_gpu(name, index, gpus, mps)
        return torch.device("cuda", index)
    if device.type == "mps":
        _check_mps(mps, gpus, environment)
    return device


def _no_such_gpu(name: str, index: int, gpus: int, mps: bool) -> EdgenetError:
    if gpus and name == "cuda":
        return EdgenetError(
            f"process {index + 1} on this machine needs a CUDA GPU of its own, but there {_are(gpus, mps)}",
            f"start torchrun with --nproc-per-node {gpus}, or give --device cpu",
        )
    built = "" if torch.backends.cuda.is_built() else f" (torch {torch.__version__} is built without CUDA)"
    return EdgenetError(
        f"there is no device {name} on this machine{built}; there {_are(gpus, mps)}",
        "give one of these with --device, or leave it out",
    )


def _check_mps(mps: bool, gpus: int, environment: Mapping[str, str]) -> None:
    if not mps:
        raise EdgenetError(
            f"there is no device mps on this machine; there {_are(gpus, mps)}",
            "give one of these with --device, or leave it out",
        )
    if int(environment.get("WORLD_SIZE", "1")) > 1:
        raise EdgenetError(
            "several processes cannot share the device mps, because torch cannot sum gradients there",
            "start one process without torchrun, or give --device cpu",
        )


def _are(gpus: int, mps: bool) -> str:
    """Return the devices of this machine after a verb, such as "are cuda:0 (NVIDIA H200) and cpu"."""
    found = [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(gpus)]
    *others, last = [*found, *(["mps"] if mps else []), "cpu"]
    return f"are {', '.join(others)} and {last}" if others else f"is only {last}"


def bfloat16_on(device: torch.device, precision: Precision) -> bool:
    """Return whether to compute in bfloat16.

    "auto" means bfloat16 only on CUDA GPUs that support it: most CPUs emulate it, many times slower, and MPS gains
    nothing from it.

    Raises:
        EdgenetError: bfloat16 was asked for, and torch has no mixed precision for this kind of device.
    """
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    if precision == "bfloat16" and not torch.amp.is_autocast_available(device.type):
        raise EdgenetError(f"torch has no bfloat16 training on {device}", "give --precision float32")
    return precision == "bfloat16"


def runs_ahead(device: torch.device) -> bool:
    """Return whether the device computes while Python already prepares the next steps.

    Reading a result then makes Python wait for the device, and photos can be copied there from pinned memory meanwhile.
    """
    return device.type == "cuda"


def free_unused_memory(device: torch.device) -> None:
    """Give memory that torch keeps for later, but does not use, back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
