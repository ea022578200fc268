"""The network's products, in the memory layouts and precisions that are fastest on a CPU.

Measured on a CPU with bfloat16 units. When many products use the same bfloat16 weight, oneDNN is
fastest if the weight is reordered once. float32 products are fastest with the inputs' axis first.
Convolutions are fastest with the channels last in memory. The gradient of a first layer's weight
(one input channel) is three times as fast in float32 as in bfloat16.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

HALF = (torch.bfloat16, torch.float16)

Product = Callable[[Tensor], Tensor]
"""(D, B, out) from (D, B, in), which may have any precision."""


def product_with(weight: Tensor, batch_size: int) -> Product:
    """A function that multiplies by the same (D, out, in) weight again and again, on a CPU or GPU.

    It works at the weight's precision.
    """
    if weight.dtype not in HALF:
        across = weight.transpose(1, 2).contiguous()
        return lambda values: torch.bmm(values, across)
    if _can_reorder(weight):
        reorder = torch.ops.mkldnn._reorder_linear_weight
        reordered = [reorder(one.contiguous(), batch_size) for one in weight]
        if len(reordered) == 1:
            return lambda values: _times(values[0].to(weight.dtype), reordered[0])[None]
        return lambda values: torch.stack(
            [_times(v, w) for v, w in zip(values.to(weight.dtype), reordered, strict=True)]
        )
    return lambda values: torch.bmm(values.to(weight.dtype), weight.transpose(1, 2))


def _times(values: Tensor, reordered: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(values, reordered, None, "none", [], "")
    return product


def _can_reorder(weight: Tensor) -> bool:
    """Whether torch has these private operators, and the CPU supports them."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and all(
            hasattr(torch.ops.mkldnn, name)
            for name in ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
        )
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def channels_last(values: Tensor) -> Tensor:
    """(B, C, F, T) with the channels last in memory, even if there is only one channel.

    torch takes a single channel to be in any order. It may then choose a kernel for another order.
    """
    return values.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def convolve(
    values: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """The convolution without a bias, as float32 or wider. Under autocast it works in bfloat16."""
    half = torch.is_autocast_enabled("cpu") and values.device.type == "cpu"
    precision = torch.get_autocast_dtype("cpu") if half else weight.dtype
    convolved: Tensor = _Convolve.apply(  # type: ignore[no-untyped-call]
        values, weight, stride, padding, precision
    )
    return convolved


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        precision: torch.dtype,
    ) -> Tensor:
        inputs = values.to(precision)
        has_one_channel = values.shape[1] == 1
        with torch.autocast("cpu", enabled=False):
            result = F.conv2d(inputs, weight.to(precision), None, stride, padding)
        ctx.save_for_backward(values if has_one_channel else inputs, weight)
        ctx.how = (stride, padding)
        return result.to(weight.dtype)

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        stride, padding = ctx.how
        wanted = (*ctx.needs_input_grad[:2], False)
        to_values, to_weight, _ = torch.ops.aten.convolution_backward(
            gradient.to(inputs.dtype),
            inputs,
            weight.to(inputs.dtype),
            None,
            stride,
            padding,
            (1, 1),
            False,
            (0, 0),
            1,
            wanted,
        )
        return (
            to_values,
            None if to_weight is None else to_weight.to(weight.dtype),
            None,
            None,
            None,
        )
