"""Muon: makes the matrices of the momentum orthogonal, so that all directions move alike.

K. Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/. `torch.optim.Muon` (2.9 and
newer) does the same for whole matrices. The matrices of a recurrent layer hold several gates, and
this Muon makes each gate orthogonal by itself.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Newton-Schulz: they bring singular values above 0.01 close to 1 in five iterations."""


class Muon(torch.optim.Optimizer):
    """For matrices only. A group's `gates` is the number of gates stacked in each matrix."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        iterations: int = 5,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """precision: the type of the products of Newton-Schulz."""
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "iterations": iterations,
            "gates": 1,
        }
        super().__init__(groups, defaults)
        self._precision = precision

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient; matrices of one shape share their products."""
        assert closure is None
        alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor, dict[str, Any]]]] = defaultdict(
            list
        )
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = self._momentum(parameter, group).view(
                        group["gates"], -1, parameter.shape[-1]
                    )
                    key = (*update.shape[1:], group["iterations"])
                    alike[key].append((parameter, update.to(self._precision), group))
        for (rows, columns, iterations), members in alike.items():
            updates = orthogonal(torch.cat([update for _, update, _ in members]), iterations)
            scale = max(1.0, rows / columns) ** 0.5
            counts = [len(update) for _, update, _ in members]
            for (parameter, _, group), own in zip(
                members, torch.split(updates, counts), strict=True
            ):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                own = own.reshape(parameter.shape).to(parameter.dtype)
                parameter.add_(own, alpha=-group["lr"] * scale)

    def _momentum(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """Nesterov's momentum: the running mean of the gradients, with the newest added again."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(buffer, group["momentum"])


def orthogonal(matrices: Tensor, iterations: int = 5) -> Tensor:
    """About the nearest matrices whose singular values are all 1, by Newton and Schulz.

    matrices: (..., rows, columns). The resulting singular values are between 0.7 and 1.2.
    """
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    values = (matrices.mT if is_tall else matrices).reshape(-1, *sorted(matrices.shape[-2:]))
    norms: Tensor = torch.linalg.matrix_norm(values, keepdim=True)
    values = values / norms.clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(iterations):
        gram = values @ values.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        values = torch.baddbmm(values, polynomial, values, beta=a)
    return (values.mT if is_tall else values).reshape(matrices.shape)
