"""Batch normalisation with statistics of valid frames only, over all processes.

Padding never enters. The statistics are those of the global batch: with several processes, the
sum of their gradients equals the gradient of one process that holds the whole batch.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ds2.training.network import normalisation_loops as loops


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of every process's values; the values themselves if there is one process."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


class BatchNorm(nn.Module):
    """Gain, offset and running averages of a batch normalisation, y = scale * x + shift.

    In training the statistics are the batch's. In evaluation the running averages take their
    place: they give a scale and a shift that are folded into the layer's weights (`fold`).
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
        unit in this process. The result of values that are not valid means nothing: the caller
        must mask it before any other use.
        """
        if values.dtype in (torch.bfloat16, torch.float16):
            values = values.float()
        result: tuple[Tensor, Tensor, Tensor] = _Normalise.apply(  # type: ignore[no-untyped-call]
            values, valid, count, self.gamma, self.beta
        )
        normalised, mean, var = result
        self._remember(mean, var)
        return normalised

    def normalise_rows(
        self, values: Tensor, valid: Tensor, count: Tensor, *, clip: float = math.inf
    ) -> Tensor:
        """Values normalised by the statistics of the valid ones; 0 where not valid.

        values: (rows, units), float32 or wider, on a CPU; valid: (rows,) bool; count: (), valid
        rows of this process. clip: if finite, the result is min(max(y, 0), clip).
        """
        result: tuple[Tensor, Tensor, Tensor] = _NormaliseRows.apply(  # type: ignore[no-untyped-call]
            values, valid, count, self.gamma, self.beta, clip
        )
        normalised, mean, var = result
        self._remember(mean, var)
        return normalised

    def map_of(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift that normalise with this batch's statistics. Updates the averages."""
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
        """Update the running averages: a plain mean at first, then an exponential one."""
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

    This is one function, because autograd's own derivation would keep and read twice as many
    arrays of the values' size.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, valid: Tensor, count: Tensor, gamma: Tensor, beta: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        dims = [0, *range(2, values.ndim)]
        across = (-1, *[1] * (values.ndim - 2))  # in this shape, units broadcast to values
        count = sum_over_processes(count.to(values.dtype)).clamp(min=1)
        mean = sum_over_processes((values * valid).sum(dims)) / count
        unit = (values - mean.view(across)).mul_(valid)  # 0 where padded
        # A norm would be faster, but it adds up in sequence: 1e-3 off for a large batch.
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


class _NormaliseRows(torch.autograd.Function):
    """The same on a CPU, by compiled loops, with the clipped ReLU and the mask inside.

    The backward pass computes the distances from the mean again. This is cheaper than keeping the
    distances and the places where the limits applied.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        valid: Tensor,
        count: Tensor,
        gamma: Tensor,
        beta: Tensor,
        clip: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = values.contiguous()
        gamma, beta = gamma.detach().to(values.dtype), beta.detach().to(values.dtype)
        count = sum_over_processes(count.double()).clamp(min=1)
        rows, is_valid = values.detach().numpy(), valid.view(torch.uint8).numpy()
        totals = values.new_zeros(2, values.shape[1], dtype=torch.float64)
        partial = torch.zeros_like(values[0] if len(values) else beta).numpy()
        total, total_squares = totals.numpy()
        over_units(loops.add_up, len(total), (rows, is_valid), (partial, total))
        mean = (sum_over_processes(totals[0]) / count).to(values.dtype)
        middle = (rows, is_valid, mean.numpy())
        over_units(loops.add_up_squares, len(total), middle, (partial, total_squares))
        var = (sum_over_processes(totals[1]) / count).to(values.dtype)
        slope = torch.rsqrt(var + BatchNorm.EPSILON)
        scale = gamma * slope
        limits = (0.0, clip) if math.isfinite(clip) else (-math.inf, math.inf)
        limits = tuple(partial.dtype.type(limit) for limit in limits)
        normalised = torch.empty_like(values)
        maps = (*middle, scale.numpy(), beta.numpy(), *limits)
        over_units(loops.apply, len(total), maps, (normalised.numpy(),))
        ctx.save_for_backward(values, valid, count, mean, scale, beta, slope)
        ctx.limits = limits
        ctx.mark_non_differentiable(mean, var)
        return normalised, mean, var

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor, None, None, Tensor, Tensor, None]:
        values, valid, count, mean, scale, beta, slope = ctx.saved_tensors
        units = len(mean)
        middle = (values.detach().numpy(), valid.view(torch.uint8).numpy(), mean.numpy())
        to_values = torch.empty_like(values)
        result = to_values.numpy()
        back = gradient.contiguous().numpy()
        if math.isfinite(ctx.limits[1]):
            limited = (back, *middle, scale.numpy(), beta.numpy(), *ctx.limits)
            over_units(loops.pass_back, units, limited, (result,))
            back = result
        totals = values.new_zeros(2, units, dtype=torch.float64)
        partial = values.new_zeros(2, units).numpy()
        over_units(loops.add_up_gradients, units, (back, *middle), (*partial, *totals.numpy()))
        totals[1] *= slope  # from distances to distances in standard deviations
        to_beta, to_gamma = totals.to(values.dtype)
        total = sum_over_processes(totals) / count
        offset, moved = total[0].to(values.dtype), (total[1] * slope).to(values.dtype)
        maps = (scale.numpy(), offset.numpy(), moved.numpy())
        over_units(loops.apply_backward, units, (back, *middle, *maps), (result,))
        return to_values, None, None, to_gamma, to_beta, None


def over_units(
    loop: Callable[..., None], num_units: int, before: Sequence[Any], after: Sequence[Any]
) -> None:
    """Run a loop over all units, shared among as many threads as torch uses.

    loop: takes the arguments `before`, the first unit, the unit after the last, and `after`.
    """
    num_threads = min(torch.get_num_threads(), max(1, num_units // 16))
    if num_threads == 1:
        loop(*before, 0, num_units, *after)
        return
    borders = [num_units * part // num_threads // 16 * 16 for part in range(num_threads)]
    parts = list(pairwise([*borders, num_units]))
    waiting = [_pool().submit(loop, *before, *part, *after) for part in parts[1:]]
    loop(*before, *parts[0], *after)
    for part in waiting:
        part.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """The threads that share the loops with the calling thread."""
    return ThreadPoolExecutor(max(1, torch.get_num_threads() - 1), "normalisation")


class _ProjectionMoments(torch.autograd.Function):
    """Mean and variance of W x, from the mean and covariance of x."""

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
