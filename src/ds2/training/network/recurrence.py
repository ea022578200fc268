"""Recurrent kernels: states of the inputs, by a walk through time or by torch's fused kernels.

On a GPU torch's fused kernels are the fastest, and so is its LSTM on a CPU. But on a CPU, its GRU
and its simple network update the gradient of U at every step. The walks below send back through
time only what they must, and compute the gradient of U with one large product at the end. That
nearly halves the time of small batches. The walks also clip the simple network's states, which
the fused kernels cannot do.

Shapes: T frames, D directions (1 or 2), B batch, H units, G gates of a unit. All time-major.
"""

from typing import Any

import torch
from torch import Tensor

from ds2.training.network import gate_loops as loops
from ds2.training.network.config import Kind
from ds2.training.network.products import HALF, product_with

CLIP = 20.0
"""Where the paper's rectifier saturates: min(max(x, 0), 20)."""


def walk(kind: Kind, projected: Tensor, recurrent_weight: Tensor) -> Tensor:
    """States (T, D, B, H) from projected inputs, step by step, beginning with zero states.

    kind: rnn or gru, gates in torch's order; projected: (T, D, B, G * H), W x + b;
    recurrent_weight: (D, G * H, H).
    The products have the precision of recurrent_weight; states, gates and gradients are float32
    at least.
    """
    by_loops = projected.device.type == "cpu" and projected.dtype in (torch.float32, *HALF)
    walk_gru = _WalkGruByLoops if by_loops else _WalkGru
    step = {"rnn": _WalkRnn, "gru": walk_gru}[kind]
    states: Tensor = step.apply(projected, recurrent_weight)  # type: ignore[no-untyped-call]
    return states


def fused(
    kind: Kind, inputs: Tensor, input_weight: Tensor, bias: Tensor, recurrent_weight: Tensor
) -> Tensor:
    """States (T, B, H) of one direction by torch's fused kernel, beginning with zero states.

    inputs: (T, B, D); input_weight: (G * H, D); bias: (G * H,); recurrent_weight: (G * H, H).
    """
    zeros = inputs.new_zeros(1, inputs.shape[1], recurrent_weight.shape[1])
    weights = (input_weight, recurrent_weight, bias, torch.zeros_like(bias))
    options = (True, 1, 0.0, torch.is_grad_enabled(), False, False)  # has biases, one layer, ...
    if kind == "gru":
        states: Tensor = torch._VF.gru(inputs, zeros, weights, *options)[0]
    elif kind == "lstm":
        states = _fused_lstm(inputs, zeros, weights, options)
    else:
        states = torch._VF.rnn_relu(inputs, zeros, weights, *options)[0]
        # The fused kernel does not clip. If no state exceeds the clip, kernel and walk are the
        # same function with the same gradients. If one does, the walk takes over.
        if states.max() > CLIP:
            projected = torch.nn.functional.linear(inputs, input_weight, bias)
            return walk(kind, projected[:, None], recurrent_weight[None])[:, 0]
    return states


def _fused_lstm(
    inputs: Tensor, zeros: Tensor, weights: tuple[Tensor, ...], options: tuple[Any, ...]
) -> Tensor:
    """States of torch's LSTM; in float32 if oneDNN has no LSTM in half precision for this CPU."""
    try:
        states: Tensor = torch._VF.lstm(inputs, (zeros, zeros), weights, *options)[0]
    except RuntimeError:
        if not torch.is_autocast_enabled(inputs.device.type):
            raise
        with torch.autocast(inputs.device.type, enabled=False):
            return _fused_lstm(
                inputs.float(), zeros.float(), tuple(w.float() for w in weights), options
            )
    return states


def _working_copy(projected: Tensor) -> Tensor:
    """A copy, at least float32, that the walk may overwrite with gates."""
    if projected.dtype in (torch.bfloat16, torch.float16):
        return projected.float()
    return projected.clone(memory_format=torch.contiguous_format)


def _weight_gradient(gradients: Tensor, states: Tensor, weight: Tensor) -> Tensor:
    """Gradient of U (D, G * H, H): all steps in one product.

    gradients: (T, D, B, G * H) of U h; states: (T, D, B, H), the h before each step.
    """
    products = [
        gradient.reshape(-1, gradient.shape[-1]).to(weight.dtype).T
        @ state.reshape(-1, state.shape[-1]).to(weight.dtype)
        for gradient, state in zip(gradients.unbind(1), states.unbind(1), strict=True)
    ]
    return torch.stack(products)


class _WalkRnn(torch.autograd.Function):
    """h' = clip(x + U h)."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor) -> Tensor:
        states = _working_copy(projected)
        steps, times = states.unbind(0), product_with(weight, states.shape[2])
        for before, state in zip((None, *steps), steps, strict=False):
            if before is not None:
                state.add_(times(before))
            state.clamp_(0.0, CLIP)
        ctx.save_for_backward(states, weight)
        ctx.dtype = projected.dtype
        return states

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        states, weight = ctx.saved_tensors
        moves = (states > 0) & (states < CLIP)
        gradients = gradient.clone(memory_format=torch.contiguous_format)
        steps, moved = gradients.unbind(0), moves.unbind(0)
        times = product_with(weight.transpose(1, 2), states.shape[2])
        for t in range(len(steps) - 1, -1, -1):
            steps[t].mul_(moved[t])
            if t:
                steps[t - 1].add_(times(steps[t]))
        weight_gradient = _weight_gradient(gradients[1:], states[:-1], weight)
        return gradients.to(ctx.dtype), weight_gradient


class _WalkGru(torch.autograd.Function):
    """r, z = sigmoid(x + U h); n = tanh(x_n + r * U_n h); h' = n + z * (h - n)."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor) -> Tensor:
        gates = _working_copy(projected)  # x, in place to r, z, n
        num_frames, directions, batch, _ = gates.shape
        hidden = weight.shape[2]
        times = product_with(weight, batch)
        states = gates.new_zeros(num_frames + 1, directions, batch, hidden)  # h before each step
        recurrent_n = gates.new_empty(num_frames, directions, batch, hidden)  # U_n h
        for rz, r, z, n, un, state, after in zip(
            gates[..., : 2 * hidden].unbind(0),
            *(gate.unbind(0) for gate in gates.chunk(3, -1)),
            recurrent_n.unbind(0),
            states[:-1].unbind(0),
            states[1:].unbind(0),
            strict=True,
        ):
            recurrent = times(state)
            rz.add_(recurrent[..., : 2 * hidden]).sigmoid_()
            un.copy_(recurrent[..., 2 * hidden :])
            n.addcmul_(r, un).tanh_()
            torch.lerp(n, state, z, out=after)
        ctx.save_for_backward(gates, recurrent_n, states, weight)
        ctx.dtype = projected.dtype
        return states[1:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gates, recurrent_n, states, weight = ctx.saved_tensors
        hidden = weight.shape[2]
        r, z, n = gates.chunk(3, -1)
        # Each gate's gradient is dh' times a factor that is known before the walk.
        slope_n = (1 - n.square()).mul_(1 - z)
        factors = torch.empty_like(gates)
        factor_r, factor_z, factor_n = factors.chunk(3, -1)
        torch.mul(slope_n, r, out=factor_n)
        torch.mul(factor_n, recurrent_n, out=factor_r).mul_(1 - r)
        torch.mul(states[:-1] - n, z, out=factor_z).mul_(1 - z)
        gradients = gradient.clone(memory_format=torch.contiguous_format)  # of h'
        steps, keeps = gradients.unbind(0), z.unbind(0)
        times = product_with(weight.transpose(1, 2), states.shape[2])
        gate_steps = factors.view(*gates.shape[:3], 3, hidden).unbind(0)  # in place to those of U h
        for t in range(len(steps) - 1, -1, -1):
            gate_steps[t].mul_(steps[t].unsqueeze(-2))
            if t:
                sent = times(gate_steps[t].flatten(-2))
                steps[t - 1].addcmul_(steps[t], keeps[t]).add_(sent)
        weight_gradient = _weight_gradient(factors, states[:-1], weight)
        torch.mul(slope_n, gradients, out=factor_n)  # n's x, unlike its U h, passes no gate
        return factors.to(ctx.dtype), weight_gradient


class _WalkGruByLoops(torch.autograd.Function):
    """The same on a CPU in float32: except for the products, a step is one compiled loop."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor) -> Tensor:
        gates = _working_copy(projected)  # x, in place to r, z, n
        num_frames, directions, batch, width = gates.shape
        hidden, rows = weight.shape[2], directions * batch
        times = product_with(weight, batch)
        states = gates.new_zeros(num_frames + 1, directions, batch, hidden)  # h before each step
        recurrent_n = gates.new_empty(num_frames, directions, batch, hidden)  # U_n h
        steps = states.unbind(0)
        gate_steps = gates.view(num_frames, rows, width).numpy()
        state_steps = states.view(num_frames + 1, rows, hidden).numpy()
        kept = recurrent_n.view(num_frames, rows, hidden).numpy()
        for t in range(num_frames):
            recurrent = times(steps[t]).float().view(rows, width).numpy()
            loops.step(
                gate_steps[t], recurrent, state_steps[t], loops.TANH, kept[t], state_steps[t + 1]
            )
        ctx.save_for_backward(gates, recurrent_n, states, weight)
        ctx.dtype = projected.dtype
        return states[1:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gates, recurrent_n, states, weight = ctx.saved_tensors
        num_frames, directions, batch, width = gates.shape
        hidden, rows = weight.shape[2], directions * batch
        times = product_with(weight.transpose(1, 2), batch)
        gradients = gradient.clone(memory_format=torch.contiguous_format)  # of h'
        of_recurrent = torch.empty_like(gates)
        of_projected_n = torch.empty_like(recurrent_n)
        sent = gradients.new_empty(rows, hidden).numpy()
        gate_steps = gates.view(num_frames, rows, width).numpy()
        steps, kept, befores, to_n = (
            tensor.view(-1, rows, hidden).numpy()
            for tensor in (gradients, recurrent_n, states, of_projected_n)
        )
        to_recurrent = of_recurrent.view(num_frames, rows, width).numpy()
        outgoing = of_recurrent.unbind(0)
        for t in range(num_frames - 1, -1, -1):
            loops.step_back(
                gate_steps[t], kept[t], befores[t], steps[t], to_recurrent[t], to_n[t], sent
            )
            if t:
                through = times(outgoing[t]).float().view(rows, hidden).numpy()
                loops.add_rows(through, sent, steps[t - 1])
        weight_gradient = _weight_gradient(of_recurrent, states[:-1], weight)
        of_recurrent[..., 2 * hidden :] = of_projected_n  # n's x, unlike its U h, passes no gate
        return of_recurrent.to(ctx.dtype), weight_gradient
