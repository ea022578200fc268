"""The optimisers' state between steps, as named tensors that a checkpoint can hold."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ds2.training.optimisation.optimiser import Optimisers

GROUP_STEP = "group.step"
"""The step that an optimiser counts for a whole group (SOAP's), kept with each parameter."""


def optimiser_tensors(optimisers: Optimisers, network: nn.Module) -> dict[str, Tensor]:
    """The optimisers' state by parameter name: "output.weight/exp_avg"."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    tensors = {}
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                for key, value in _flat(optimiser.state.get(parameter, {}), group):
                    tensors[f"{names[parameter]}/{key}"] = value
    return tensors


def restore_optimisers(
    optimisers: Optimisers, network: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Give the optimisers the state that `optimiser_tensors` returned.

    The state of a parameter that no optimiser moves any more is left out.
    """
    parameters = dict(network.named_parameters())
    owners = {
        parameter: (optimiser, group)
        for optimiser in optimisers
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    for full_name, value in sorted(tensors.items()):
        name, key = full_name.split("/")
        if parameters[name] in owners:
            optimiser, group = owners[parameters[name]]
            _restore(optimiser.state[parameters[name]], group, key, value, parameters[name].device)


def _flat(state: Mapping[str, Any], group: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """A parameter's state: tensors; "GG[1]" for tensors in a list; "beta=" for plain numbers."""
    for key, value in state.items():
        if isinstance(value, Tensor):
            yield key, value
        elif isinstance(value, list):
            yield from ((f"{key}[{index}]", tensor) for index, tensor in enumerate(value))
        else:
            yield f"{key}=", _exact(value)
    if state and "step" in group:
        yield GROUP_STEP, torch.tensor(group["step"])


def _exact(number: float) -> Tensor:
    """A plain number as a tensor that gives the same number back; torch's own choice rounds."""
    return torch.tensor(number, dtype=torch.float64 if isinstance(number, float) else None)


def _restore(
    state: dict[str, Any], group: dict[str, Any], key: str, value: Tensor, device: torch.device
) -> None:
    numbered = re.fullmatch(r"(.+)\[\d+\]", key)
    if key == GROUP_STEP:
        group["step"] = int(value)
    elif numbered:  # they come in the order of their numbers
        state.setdefault(numbered[1], []).append(value.to(device))
    elif key.endswith("="):
        setting = group.get(key[:-1])  # the setting may have changed
        state[key[:-1]] = value.item() if setting is None else setting
    else:  # AdamW counts its steps on the CPU, whatever the device
        state[key] = value if value.ndim == 0 else value.to(device)
