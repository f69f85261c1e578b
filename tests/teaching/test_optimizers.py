"""The optimizers of teaching: they do what torch's do, and torch's compiler is not imported for them."""

from __future__ import annotations

import sys

import pytest
import torch

from edgenet.teaching.optimizers import AdamW, Lbfgs


@pytest.fixture(autouse=True)
def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every import of torch's compiler fail."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)


def test_lbfgs_finds_the_minimum() -> None:
    place = torch.zeros(2, requires_grad=True)
    search = Lbfgs([place], line_search_fn="strong_wolfe")

    def objective() -> torch.Tensor:
        place.grad = None
        loss = (place[0] - 3).square() + 10 * (place[1] + place[0]).square()
        loss.backward()
        return loss

    search.step(objective)
    assert place.tolist() == pytest.approx([3, -3], abs=1e-4)


def test_adamw_s_first_step_is_its_formula() -> None:
    """Its moments are then the gradient and its square, so each weight moves by the rate, after the decay."""
    decaying, free = (torch.nn.Parameter(torch.tensor([2.0, -1.0])) for _ in range(2))
    optimizer = AdamW(
        [{"params": [decaying], "weight_decay": 0.5}, {"params": [free], "weight_decay": 0.0}], lr=0.1
    )
    decaying.grad, free.grad = torch.tensor([4.0, -0.01]), torch.tensor([-4.0, 0.01])
    optimizer.step()
    assert decaying.tolist() == pytest.approx([2 * 0.95 - 0.1, -0.95 + 0.1], abs=1e-5)
    assert free.tolist() == pytest.approx([2 + 0.1, -1 - 0.1], abs=1e-5)
