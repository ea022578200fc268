"""Optimisers: the paper's and quicker ones, and the weights that each of them moves."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ds2.errors import InputError
from ds2.training.config import TrainingConfig
from ds2.training.network.config import NUM_GATES
from ds2.training.network.layers import FullyConnected, Recurrent
from ds2.training.optimisation.muon import Muon

Optimisers = tuple[torch.optim.Optimizer, ...]
"""The optimisers of a run. Each parameter belongs to one of them."""

SHARE = "share"
"""The key of a group's learning rate as a share of the schedule's."""


def build_optimisers(network: nn.Module, config: TrainingConfig) -> Optimisers:
    """SGD with Nesterov momentum (the paper, section 5), AdamW, or Muon or SOAP with AdamW.

    Muon and SOAP move the matrices of recurrent and fully connected layers. AdamW moves the rest.
    Frozen parameters do not move. Weight decay is for matrices: it makes no sense to pull offsets
    and batch norm's gains to 0. Raises InputError if SOAP's package is missing.
    """
    shares = layer_shares(network, config.layer_decay)
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    rate = config.learning_rate
    if config.optimiser == "sgd":
        momentum, nesterov = config.momentum, config.momentum > 0
        groups = _groups(named, shares)
        return (torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov),)
    gates = _hidden_matrices(network) if config.optimiser in ("muon", "soap") else {}
    hidden = {name: p for name, p in named.items() if name in gates}
    rest = _groups({name: p for name, p in named.items() if name not in gates}, shares)
    for group in rest:
        group["weight_decay"] = config.weight_decay if group["params"][0].ndim > 1 else 0.0
    optimisers: list[torch.optim.Optimizer] = []
    if rest:
        optimisers.append(torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), fused=True))
    if hidden and config.optimiser == "muon":
        optimisers.append(_muon(hidden, gates, shares, config))
    elif hidden:
        optimisers.append(_soap(_groups(hidden, shares), config))
    return tuple(optimisers)


def layer_shares(network: nn.Module, layer_decay: float) -> dict[str, float]:
    """The learning rate of each parameter as a share of the top layer's.

    layer_decay: a layer's rate as a share of the rate of the layer above it. The lookahead counts
    as a layer.
    """
    layers: list[str] = []
    for name, _ in network.named_parameters():
        layer = _layer_of(name)
        if layer not in layers:
            layers.append(layer)
    depths = {layer: depth for depth, layer in enumerate(reversed(layers))}
    return {n: layer_decay ** depths[_layer_of(n)] for n, _ in network.named_parameters()}


def _layer_of(name: str) -> str:
    """ "recurrent.0" of "recurrent.0.input_weight", "output" of "output.bias"."""
    found = re.match(r"[a-z_]+(\.\d+)?", name)
    return found.group() if found else name


def _groups(named: Mapping[str, Tensor], shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """The parameters in groups of one share of the rate; matrices are apart from vectors."""
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in named.items():
        key = (shares[name], parameter.ndim > 1)
        groups.setdefault(key, {"params": [], SHARE: shares[name]})["params"].append(parameter)
    return list(groups.values())


def _hidden_matrices(network: nn.Module) -> dict[str, int]:
    """The matrices of recurrent and fully connected layers, with the number of gates in each."""
    found = {}
    for layer, module in network.named_modules():
        if isinstance(module, Recurrent | FullyConnected):
            gates = NUM_GATES[module.kind] if isinstance(module, Recurrent) else 1
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.ndim == 2:
                    found[f"{layer}.{name}"] = gates
    return found


def _muon(
    hidden: Mapping[str, Tensor],
    gates: Mapping[str, int],
    shares: Mapping[str, float],
    config: TrainingConfig,
) -> Muon:
    ratio = config.muon_learning_rate / config.learning_rate
    groups = [
        {"params": [p], "gates": gates[name], SHARE: ratio * shares[name]}
        for name, p in hidden.items()
    ]
    precision = torch.bfloat16 if config.bf16 else torch.float32
    return Muon(
        groups,
        lr=config.muon_learning_rate,
        weight_decay=config.weight_decay,
        iterations=config.muon_iterations,
        precision=precision,
    )


def _soap(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    try:
        from pytorch_optimizer import SOAP
    except ModuleNotFoundError:
        raise InputError(
            'training.optimiser: "soap" needs a package: pip install pytorch-optimizer'
        ) from None
    optimiser: torch.optim.Optimizer = SOAP(
        groups,
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=config.weight_decay,
        precondition_frequency=config.soap_every,
    )
    return optimiser


def set_learning_rate(optimisers: Optimisers, rate: float) -> None:
    """Give all parameters this learning rate, or their share of it."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate * group[SHARE]


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The length of the gradient of all parameters together, (). It is still on their device."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def rescale_gradient(parameters: Iterable[Tensor], norm: float, max_norm: float) -> None:
    """Shorten a gradient whose length is `norm` to `max_norm` if it is longer."""
    if norm > max_norm:
        gradients = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_mul_(gradients, max_norm / norm)
