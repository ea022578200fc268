"""Batch normalisation with statistics of valid frames only, over all processes.

Padding never enters, and the statistics are those of the global batch: with R processes, the
sum of their gradients equals that of one process that holds the whole batch.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of every process's values; the values where there is one process."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


class BatchNorm(nn.Module):
    """Gain, offset and running averages of a batch normalisation, y = scale * x + shift.

    In training the statistics are the batch's; in evaluation the running averages take their
    place, as scale and shift that are folded into the layer's weights (`fold`).
    """

    MOMENTUM = 0.05  # weight of the newest batch in the running averages
    EPSILON = 1e-5

    running_mean: Tensor
    running_var: Tensor
    num_batches: Tensor

    def __init__(self, num_units: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(num_units))
        self.beta = nn.Parameter(torch.zeros(num_units))
        self.register_buffer("running_mean", torch.zeros(num_units))
        self.register_buffer("running_var", torch.ones(num_units))
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))

    def normalise(self, values: Tensor, valid: Tensor, count: Tensor) -> Tensor:
        """Values normalised by the statistics of the valid ones, float32 or wider.

        values: (B, units, ...); valid: bool, broadcasts to values; count: (), valid values of a
        unit in this process. Where values are not valid, so is the result: the caller must mask
        it before anything else sees it.
        """
        if values.dtype in (torch.bfloat16, torch.float16):
            values = values.float()
        result: tuple[Tensor, Tensor, Tensor] = _Normalise.apply(  # type: ignore[no-untyped-call]
            values, valid, count, self.gamma, self.beta
        )
        normalised, mean, var = result
        self._remember(mean, var)
        return normalised

    def map_of(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift that normalise with this batch's statistics, which are remembered."""
        self._remember(mean.detach(), var.detach())
        return self._map(mean, var)

    def running_map(self) -> tuple[Tensor, Tensor]:
        """Scale and shift that normalise with the running averages."""
        return self._map(self.running_mean, self.running_var)

    def _map(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.gamma * torch.rsqrt(var + self.EPSILON)
        return scale, self.beta - scale * mean

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor) -> None:
        """Running averages: the plain mean of the first batches, then an exponential one."""
        self.num_batches += 1
        weight = (1 / self.num_batches).clamp(min=self.MOMENTUM).to(self.running_mean.dtype)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(var.to(self.running_var.dtype), weight)


def fold(
    weight: Tensor, batch_norm: BatchNorm | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Weight (units, ...) and bias (units,) of a layer with its running batch norm inside."""
    if batch_norm is None:
        assert bias is not None, "a layer has a batch norm or a bias"
        return weight, bias
    scale, shift = batch_norm.running_map()
    return weight * scale.view(-1, *[1] * (weight.ndim - 1)), shift


class _Normalise(torch.autograd.Function):
    """gamma * (x - mean) / sqrt(var + epsilon) + beta, with the mean and variance it used.

    One function, because autograd's own derivation keeps and passes over twice as many arrays of
    the values' size.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, valid: Tensor, count: Tensor, gamma: Tensor, beta: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        dims = [0, *range(2, values.ndim)]
        across = (-1, *[1] * (values.ndim - 2))  # so shaped, units broadcast to values
        count = sum_over_processes(count.to(values.dtype)).clamp(min=1)
        mean = sum_over_processes((values * valid).sum(dims)) / count
        unit = (values - mean.view(across)).mul_(valid)  # 0 where padded
        # Not by a norm, which is faster but adds up in sequence: 1e-3 off for a large batch.
        var = sum_over_processes(unit.square().sum(dims)) / count
        slope = torch.rsqrt(var + BatchNorm.EPSILON)
        unit.mul_(slope.view(across))
        ctx.save_for_backward(unit, valid, count, gamma, slope)
        ctx.mark_non_differentiable(mean, var)
        return torch.addcmul(beta.view(across), unit, gamma.view(across)), mean, var

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor, None, None, Tensor, Tensor]:
        unit, valid, count, gamma, slope = ctx.saved_tensors
        dims = [0, *range(2, unit.ndim)]
        across = (-1, *[1] * (unit.ndim - 2))
        to_beta, to_gamma = gradient.sum(dims), (gradient * unit).sum(dims)
        total = sum_over_processes(torch.stack((to_beta, to_gamma))) / count
        to_values = torch.addcmul(gradient, unit, total[1].view(across), value=-1)
        to_values.sub_(total[0].view(across)).mul_((gamma * slope).view(across)).mul_(valid)
        return to_values, None, None, to_gamma, to_beta


class _ProjectionMoments(torch.autograd.Function):
    """Mean and variance of W x, from mean and covariance of x."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, valid: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        count = sum_over_processes(valid.sum().to(inputs.dtype)).clamp(min=1)
        mean = sum_over_processes(inputs.sum((0, 1))) / count  # (D,)
        centred = ((inputs - mean) * valid).flatten(0, 1)  # (T * B, D)
        covariance = sum_over_processes(centred.T @ centred) / count  # (D, D)
        projected = weight @ covariance
        ctx.save_for_backward(centred, valid, weight, mean, projected, count)
        return weight @ mean, (projected * weight).sum(1)

    @staticmethod
    def backward(
        ctx: Any, mean_gradient: Tensor, var_gradient: Tensor
    ) -> tuple[Tensor, None, Tensor]:
        centred, valid, weight, mean, projected, count = ctx.saved_tensors
        weighted = weight * (2 * var_gradient)[:, None]
        to_mean = sum_over_processes(mean_gradient @ weight) / count
        to_covariance = sum_over_processes(weight.T @ weighted) / count  # twice, so symmetric
        to_inputs = torch.addmm(to_mean, centred, to_covariance).view(*valid.shape[:2], -1)
        to_weight = torch.outer(mean_gradient, mean).addcmul_(
            projected, (2 * var_gradient)[:, None]
        )
        return to_inputs * valid, None, to_weight


def projection_moments(inputs: Tensor, valid: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance, (units,) each, of weight @ x over all processes' valid inputs.

    inputs: (T, B, D), 0 where padded; valid: (T, B, 1) bool; weight: (units, D).
    """
    mean, var = _ProjectionMoments.apply(inputs, valid, weight)  # type: ignore[no-untyped-call]
    return mean, var.clamp(min=0)
