"""Torch's optimizers L-BFGS and AdamW, without the import of torch's compiler that comes with their first use.

Parts of torch's optimizers are wrapped so that compiled code treats them in a special way, and the wrappers import
the compiler. That takes one to two seconds, longer than the first classifier of a small set of photos takes otherwise.
Nothing in teaching is compiled, so the classes here call what is inside the wrappers. The numbers are the same.
"""

from __future__ import annotations

import inspect

import torch


class Lbfgs(torch.optim.LBFGS):
    """Torch's L-BFGS. Clear the gradients of the tensors yourself: `zero_grad` imports the compiler."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)


class AdamW(torch.optim.AdamW):
    """Torch's AdamW. Clear the gradients with the network's `zero_grad`: the optimizer's own imports the compiler."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
