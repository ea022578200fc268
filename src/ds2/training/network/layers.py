"""The layers of the network: masked batch norm, convolution, recurrence, lookahead."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ds2.training.network.batch_norm import BatchNorm, fold, projection_moments
from ds2.training.network.config import NUM_GATES, ConvolutionConfig, Kind
from ds2.training.network.products import channels_last, convolve
from ds2.training.network.recurrence import CLIP, fused, walk


def clipped_relu(values: Tensor) -> Tensor:
    """min(max(x, 0), 20)."""
    return F.hardtanh(values, 0.0, CLIP)


def valid_frames(lengths: Tensor, num_frames: int) -> Tensor:
    """(B, num_frames) bool: true for frames within their utterance."""
    return torch.arange(num_frames, device=lengths.device) < lengths[:, None]


def reverse_frames(frames: Tensor, lengths: Tensor) -> Tensor:
    """Each utterance's valid frames in reverse order. The padding keeps its place.

    frames: (T, B, ...); lengths: (B,). The function is its own inverse.
    """
    index = torch.arange(len(frames), device=frames.device)[:, None]
    index = torch.where(index < lengths, lengths - 1 - index, index)  # (T, B)
    return frames[index, torch.arange(len(lengths), device=frames.device)]


class Convolution(nn.Module):
    """Convolution, batch norm over valid frames, clipped ReLU; padded frames come out as 0."""

    def __init__(
        self, config: ConvolutionConfig, in_channels: int, in_bins: int, batch_norm: bool
    ) -> None:
        super().__init__()
        kernel_bins = in_bins if config.is_1d else config.kernel[0]
        self.stride = config.stride
        self.padding = (0 if config.is_1d else kernel_bins // 2, config.time_padding)
        self.weight = nn.Parameter(
            torch.empty(config.channels, in_channels, kernel_bins, config.kernel[1])
        )
        self.batch_norm = BatchNorm(config.channels) if batch_norm else None
        self.bias = None if batch_norm else nn.Parameter(torch.zeros(config.channels))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Activations and their lengths.

        values: (B, C, F, T), 0 where padded; lengths: (B,) valid frames.
        """
        lengths = -(-lengths // self.stride[1])
        batch_norm = self.batch_norm if self.training else None  # in evaluation it is folded in
        if batch_norm is not None and values.device.type == "cpu":
            return self._normalised_rows(values, lengths, batch_norm), lengths
        weight, bias = (self.weight, None) if batch_norm else self.folded()
        if values.shape[1] > 1:  # 4% faster, but with one channel 10 times slower in bf16
            values = values.contiguous(memory_format=torch.channels_last)
        values = F.conv2d(values, weight, bias, self.stride, self.padding)
        valid = valid_frames(lengths, values.shape[3])[:, None, None, :]  # (B, 1, 1, T)
        if batch_norm is not None:
            values = batch_norm.normalise(values, valid, lengths.sum() * values.shape[2])
        return clipped_relu(values) * valid, lengths

    def _normalised_rows(self, values: Tensor, lengths: Tensor, batch_norm: BatchNorm) -> Tensor:
        """The activations on a CPU in training, with the channels last in every step."""
        values = convolve(channels_last(values), self.weight, self.stride, self.padding)
        rows = values.permute(0, 2, 3, 1)  # (B, F, T, C)
        valid = valid_frames(lengths, rows.shape[2])[:, None].expand(rows.shape[:3])
        normalised = batch_norm.normalise_rows(
            rows.reshape(-1, rows.shape[3]),
            valid.reshape(-1),
            lengths.sum() * rows.shape[1],
            clip=CLIP,
        )
        return normalised.view(rows.shape).permute(0, 3, 1, 2)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias with the running batch norm inside."""
        return fold(self.weight, self.batch_norm, self.bias)


class Recurrent(nn.Module):
    """One recurrent layer, h_t = f(B(W x_t) + U h_{t-1}), forward or summed over both directions.

    B is the paper's sequence-wise batch normalisation (section 3.2 of arXiv:1512.02595): one mean
    and variance per unit, over all valid frames of the minibatch. Some kernels take W x: they get
    B(W x). Fused kernels take x: they get derived weights. This works because B(W x) is affine in
    x once its statistics are known, and these follow from the mean and covariance of x. In
    evaluation, with running averages, the layer is a plain recurrent layer.

    B has the only bias. Without batch norm there is one bias per gate. A GRU's reset gate acts
    after U, as in cuDNN: candidate = tanh(B(W_n x) + r * (U_n h)).
    """

    def __init__(
        self, kind: Kind, in_size: int, hidden_size: int, bidirectional: bool, batch_norm: bool
    ) -> None:
        super().__init__()
        gates = NUM_GATES[kind]
        self.kind = kind
        self.hidden_size = hidden_size
        self.input_weight = nn.Parameter(torch.empty(gates * hidden_size, in_size))
        self.recurrent_weight_forward = nn.Parameter(torch.empty(gates * hidden_size, hidden_size))
        self.recurrent_weight_backward = (
            nn.Parameter(torch.empty(gates * hidden_size, hidden_size)) if bidirectional else None
        )
        self.batch_norm = BatchNorm(gates * hidden_size) if batch_norm else None
        self.bias = None if batch_norm else nn.Parameter(torch.zeros(gates * hidden_size))
        self._initialise(gates)

    @torch.no_grad()
    def _initialise(self, gates: int) -> None:
        """Input weights of variance 1 / inputs, orthogonal U per gate, LSTM forget offset 1."""
        nn.init.normal_(self.input_weight, std=1 / math.sqrt(self.input_weight.shape[1]))
        for weight in self.recurrent_weights():
            for gate in weight.chunk(gates):
                nn.init.orthogonal_(gate)
        if self.kind == "lstm":
            offset = self.bias if self.batch_norm is None else self.batch_norm.beta
            assert offset is not None
            offset[self.hidden_size : 2 * self.hidden_size] = 1.0

    def recurrent_weights(self) -> list[Tensor]:
        """U of the forward direction and, where there is one, of the backward direction."""
        both = (self.recurrent_weight_forward, self.recurrent_weight_backward)
        return [weight for weight in both if weight is not None]

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """States (T, B, H), 0 where padded.

        inputs: (T, B, D), 0 where padded; lengths: (B,) valid frames.
        """
        valid = valid_frames(lengths, len(inputs)).T[:, :, None]  # (T, B, 1)
        if self.kind == "lstm" or inputs.device.type != "cpu":
            return self.fused_states(inputs, lengths, valid) * valid
        return self.walked_states(inputs, lengths, valid) * valid

    def fused_states(self, inputs: Tensor, lengths: Tensor, valid: Tensor) -> Tensor:
        """States from kernels that project the inputs themselves and need derived weights."""
        weight, bias = self._derived(inputs, valid)
        forward, *backward = self.recurrent_weights()
        states = fused(self.kind, inputs, weight, bias, forward)
        if backward:
            inputs = reverse_frames(inputs, lengths)
            reversed_states = fused(self.kind, inputs, weight, bias, backward[0])
            states = states + reverse_frames(reversed_states, lengths)
        return states

    def walked_states(self, inputs: Tensor, lengths: Tensor, valid: Tensor) -> Tensor:
        """States from kernels that take projected and normalised inputs."""
        if self.batch_norm is None or not self.training:
            projected = product = F.linear(inputs, *self.folded())  # (T, B, G * H)
        else:
            product = F.linear(inputs, self.input_weight)
            wide = product.to(self.input_weight.dtype).flatten(0, 1)
            projected = self.batch_norm.normalise_rows(
                wide, valid.flatten(), lengths.sum()
            ).view_as(product)
        # Under autocast the products over time are as precise as the one before them.
        recurrent_weight = torch.stack(self.recurrent_weights()).to(product.dtype)
        if len(recurrent_weight) == 1:
            return walk(self.kind, projected[:, None], recurrent_weight)[:, 0]
        both = torch.stack((projected, reverse_frames(projected, lengths)), 1)  # (T, 2, B, G * H)
        forward, backward = walk(self.kind, both, recurrent_weight).unbind(1)
        return forward + reverse_frames(backward, lengths)

    def _derived(self, inputs: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Input weight (G * H, D) and bias (G * H,) with the batch norm inside."""
        weight, batch_norm = self.input_weight, self.batch_norm
        if batch_norm is None or not self.training:
            return self.folded()
        with torch.autocast(weight.device.type, enabled=False):  # statistics keep float32
            scale, shift = batch_norm.map_of(
                *projection_moments(inputs.to(weight.dtype), valid, weight)
            )
        return weight * scale[:, None], shift

    def folded(self) -> tuple[Tensor, Tensor]:
        """Input weight and bias with the running batch norm inside."""
        return fold(self.input_weight, self.batch_norm, self.bias)


class Lookahead(nn.Module):
    """r_t = sum over j from 0 to tau of w_j * h_{t+j}, per unit: each output sees tau later frames.

    Section 3.7 of arXiv:1512.02595 ("row convolution"). A new layer is the identity.
    """

    def __init__(self, num_units: int, tau: int) -> None:
        super().__init__()
        self.tau = tau
        self.weight = nn.Parameter(torch.zeros(num_units, tau + 1))
        nn.init.ones_(self.weight[:, 0])

    def forward(self, states: Tensor) -> Tensor:
        """(T, B, H) from (T, B, H) states that are 0 where padded."""
        future = F.pad(states.permute(1, 2, 0), (0, self.tau))  # (B, H, T + tau)
        return F.conv1d(future, self.weight[:, None], groups=len(self.weight)).permute(2, 0, 1)


class FullyConnected(nn.Module):
    """Linear, batch norm, clipped ReLU, over valid frames only."""

    def __init__(self, in_size: int, out_size: int, batch_norm: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_size, in_size))
        self.batch_norm = BatchNorm(out_size) if batch_norm else None
        self.bias = None if batch_norm else nn.Parameter(torch.zeros(out_size))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, frames: Tensor, valid: Tensor, count: Tensor) -> Tensor:
        """(N, out) from (N, in) frames. The results of padded frames mean nothing.

        valid: (N,) bool; count: (), the number of valid frames.
        """
        if self.batch_norm is None or not self.training:
            return clipped_relu(F.linear(frames, *self.folded()))
        values = F.linear(frames, self.weight)
        if values.device.type == "cpu":
            wide = values.to(self.weight.dtype)
            return self.batch_norm.normalise_rows(wide, valid, count, clip=CLIP)
        return clipped_relu(self.batch_norm.normalise(values, valid[:, None], count))

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias with the running batch norm inside."""
        return fold(self.weight, self.batch_norm, self.bias)
