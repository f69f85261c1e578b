"""Weight decay, the average of the weights, and frozen layers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgenet.training.learner import (
    AdamState,
    SgdState,
    adam_step,
    average_decay,
    average_of,
    channels_last,
    decay_groups,
    new_learner,
    set_training,
    sgd_step,
    update_average,
)
from edgenet.training.recipe import Recipe
from edgenet.zoo.registry import build

CPU = torch.device("cpu")


@pytest.mark.parametrize("variant", ["mobilenet_v1_0.25_32", "mobilenet_v2_0.35_32"])
def test_depthwise_filters_norms_and_biases_do_not_decay(variant: str) -> None:
    network = build(variant, classes=3)
    groups = decay_groups(network)
    parameters = dict(network.named_parameters())
    assert set(groups.decaying) | set(groups.free) == set(parameters)
    assert not set(groups.decaying) & set(groups.free)
    # A depthwise filter has one input channel; the first convolution has three.
    four = {name: p for name, p in parameters.items() if p.ndim == 4}
    depthwise = {name for name, p in four.items() if p.shape[1] == 1}
    assert depthwise
    assert all("depthwise" in name for name in depthwise)
    assert depthwise <= set(groups.free)
    assert set(groups.decaying) == (set(four) - depthwise) | {"classifier.weight"}
    assert all(parameters[name].ndim == 1 or name in depthwise for name in groups.free)


def test_without_gradients_only_decaying_weights_shrink() -> None:
    learner = new_learner(build("mobilenet_v1_0.25_32", classes=3), Recipe(weight_decay=0.1), CPU)
    before = {name: p.detach().clone() for name, p in learner.network.named_parameters()}
    for parameter in learner.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    sgd_step(learner.network, learner.optimizer, 0.1)
    changed = {
        name for name, p in learner.network.named_parameters() if not torch.equal(p.detach(), before[name])
    }
    assert changed == set(decay_groups(learner.network).decaying)


@pytest.mark.slow  # the first use of torch.optim imports torch's compiler
def test_a_step_is_torch_s_own() -> None:
    torch.manual_seed(0)
    ours = nn.Linear(4, 3)
    theirs = copy.deepcopy(ours)
    sgd = SgdState({"weight": 0.01, "bias": 0.0})
    groups = [{"params": [theirs.weight], "weight_decay": 0.01}, {"params": [theirs.bias]}]
    reference = torch.optim.SGD(groups, lr=0.3, momentum=0.9, nesterov=True)
    for _ in range(4):
        x = torch.randn(5, 4)
        for network in (ours, theirs):
            network.zero_grad()
            network(x).square().sum().backward()
        sgd_step(ours, sgd, 0.3)
        reference.step()
    assert torch.allclose(ours.weight, theirs.weight, rtol=1e-4)
    assert torch.allclose(ours.bias, theirs.bias, rtol=1e-4)


def test_lists_of_tensors_give_the_bytes_of_one_after_the_other() -> None:
    """The formulas of the docstrings, for one parameter at a time; the steps compute on all of them together."""
    torch.manual_seed(0)
    network = channels_last(build("mobilenet_v2_0.35_32", classes=3))
    single, adam_network = copy.deepcopy(network), copy.deepcopy(network)
    adam_single, average, average_single = (copy.deepcopy(network) for _ in range(3))
    decays = dict.fromkeys(decay_groups(network).decaying, 0.01)
    sgd = SgdState({name: decays.get(name, 0.0) for name, _ in network.named_parameters()})
    adam = AdamState()
    first: dict[str, torch.Tensor] = {}
    second: dict[str, torch.Tensor] = {}
    momenta: dict[str, torch.Tensor] = {}
    for step in range(3):
        for name, parameter in single.named_parameters():
            gradient = torch.randn_like(parameter)
            for one in (network, adam_network):
                one.get_parameter(name).grad = gradient.clone()
            with torch.no_grad():
                decayed = gradient.add(parameter, alpha=decays[name]) if name in decays else gradient
                momentum = momenta.setdefault(name, torch.zeros_like(parameter)).mul_(0.9).add_(decayed)
                parameter.sub_(decayed.add(momentum, alpha=0.9), alpha=0.1)
                mean = first.setdefault(name, torch.zeros_like(parameter)).lerp_(gradient, 1 - 0.9)
                square = second.setdefault(name, torch.zeros_like(parameter))
                square.mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
                root = (square / (1 - 0.999 ** (step + 1))).sqrt_().add_(1e-12)
                adam_single.get_parameter(name).addcdiv_(mean / (1 - 0.9 ** (step + 1)), root, value=-0.1)
        sgd_step(network, sgd, 0.1)
        adam_step(adam_network, adam, 0.1, step)
        update_average(average, network, 0.9, 100)
        for name, tensor in average_single.state_dict().items():
            theirs = single.state_dict()[name]
            tensor.lerp_(theirs, 1 - 0.9) if tensor.is_floating_point() else tensor.copy_(theirs)
    for ours, theirs in ((network, single), (adam_network, adam_single), (average, average_single)):
        assert all(
            torch.equal(a, b)
            for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
        )


def test_the_decay_grows_to_its_limit() -> None:
    assert average_decay(0.999, 0) == pytest.approx(0.1)
    assert average_decay(0.999, 90) == pytest.approx(0.91)
    assert average_decay(0.999, 10**6) == 0.999
    assert average_decay(0.0, 100) == 0


def test_the_average_follows_its_formula_in_weights_and_statistics() -> None:
    network = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    average = average_of(network)
    with torch.no_grad():
        average[0].weight.fill_(1.0)
        network[0].weight.fill_(3.0)
        network[1].running_mean.fill_(10.0)
        network[1].num_batches_tracked.fill_(7)
    update_average(average, network, 0.75, 1000)
    assert average[0].weight.tolist() == [[1.5, 1.5]]
    assert average[1].running_mean.item() == 2.5
    assert average[1].num_batches_tracked.item() == 7
    update_average(average, network, 0.0, 1000)
    assert torch.equal(average[0].weight, network[0].weight)
    assert not any(p.requires_grad for p in average.parameters())


def test_a_frozen_network_trains_its_last_layer_alone() -> None:
    network = build("mobilenet_v2_0.35_32", classes=3).train()
    for _ in range(20):  # statistics that let something through
        network(torch.randn(4, 3, 64, 64))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    set_training(network, frozen=True)
    network(torch.randn(4, 3, 64, 64)).square().sum().backward()
    sgd_step(network, SgdState(dict.fromkeys(dict(network.named_parameters()), 0.0)), 0.1)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    set_training(network, frozen=False)
    assert all(p.requires_grad for p in network.parameters())
    assert all(module.training for module in network.modules())
