"""The shape of a network: its settings, the arithmetic that follows from them, and presets."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar

from ds2.settings import SETTINGS

Kind = Literal["rnn", "gru", "lstm"]
"""Kinds of recurrent layers; `rnn` is the paper's simple one, with clipped ReLU."""

NUM_GATES = MappingProxyType({"rnn": 1, "gru": 3, "lstm": 4})
"""Gates per unit, in torch's order: GRU r, z, n; LSTM i, f, g, o."""

Lengths = TypeVar("Lengths", bound=Any)  # int, numpy array or tensor


@dataclass(frozen=True)
class ConvolutionConfig:
    """One convolution over time and, unless it spans all bins, over frequency."""

    __pydantic_config__: ClassVar = SETTINGS  # a misspelt key is an error inside a list too

    channels: int  # output channels
    kernel: tuple[int, int]  # (frequency, time); frequency 0 spans all bins: a 1-D convolution
    stride: tuple[int, int] = (1, 1)  # (frequency, time)

    def __post_init__(self) -> None:
        frequency, time = self.kernel
        if self.channels < 1:
            raise ValueError(f"channels: must be at least 1, not {self.channels}")
        if time < 1 or time % 2 == 0:
            raise ValueError(f"kernel: must be odd in time, to have a centre, not {time}")
        if frequency < 0 or (frequency and frequency % 2 == 0):
            raise ValueError(f"kernel: must be odd or 0 in frequency, not {frequency}")
        if min(self.stride) < 1:
            raise ValueError(f"stride: must be at least 1, not {min(self.stride)}")
        if self.is_1d and self.stride[0] != 1:
            raise ValueError(f"stride: must be 1 in frequency with a 1-D kernel, not {self.stride}")

    @property
    def is_1d(self) -> bool:
        """Whether the kernel spans all bins: its output has channels but no frequency axis."""
        return self.kernel[0] == 0

    @property
    def time_padding(self) -> int:
        """Zero frames on either side, so that output j is centred on input stride * j."""
        return self.kernel[1] // 2

    def output_bins(self, num_bins: int) -> int:
        """Number of output bins for `num_bins` input bins."""
        return 1 if self.is_1d else math.ceil(num_bins / self.stride[0])


BASELINE_2D = (
    ConvolutionConfig(32, (41, 11), (2, 2)),
    ConvolutionConfig(32, (21, 11), (2, 1)),
)
"""The two 2-D convolutions of most of the paper's networks."""


@dataclass(frozen=True)
class NetworkConfig:
    """A Deep Speech 2 network: convolutions, recurrent layers, lookahead, fully connected layers.

    Before the convolutions, time is in spectrogram frames. After them, it is in output frames:
    one output frame is `time_stride` spectrogram frames.
    """

    convolutions: tuple[ConvolutionConfig, ...] = BASELINE_2D  # the lowest layers: 1 to 3
    recurrent: Kind = "gru"  # the kind of the recurrent layers
    hidden_size: int = 512  # units of each recurrent layer
    num_recurrent: int = 3  # number of recurrent layers
    bidirectional: bool = False  # two directions: they share the input weights and are summed
    lookahead: int = 20  # tau: future output frames that the lookahead layer sees; 0: no such layer
    fully_connected: tuple[int, ...] = ()  # widths of the layers before the output layer
    batch_norm: bool = True  # sequence-wise batch normalisation in each layer
    dropout: float = 0.0  # dropout probability between recurrent layers
    num_bins: int = 161  # frequency bins of the spectrogram

    def __post_init__(self) -> None:
        if not 1 <= len(self.convolutions) <= 3:
            raise ValueError(f"convolutions: must be 1 to 3, not {len(self.convolutions)}")
        if self.recurrent not in NUM_GATES:
            raise ValueError(f"recurrent: must be rnn, gru or lstm, not {self.recurrent!r}")
        for name in ("hidden_size", "num_recurrent", "num_bins"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, not {getattr(self, name)}")
        if self.lookahead < 0:
            raise ValueError(f"lookahead: must be at least 0, not {self.lookahead}")
        if self.lookahead and self.bidirectional:
            raise ValueError("lookahead: a bidirectional network has none: set it to 0")
        if any(width < 1 for width in self.fully_connected):
            raise ValueError("fully_connected: widths must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: must be at least 0 and below 1, not {self.dropout}")

    @property
    def time_stride(self) -> int:
        """Spectrogram frames per output frame."""
        return math.prod(conv.stride[1] for conv in self.convolutions)

    @property
    def num_gates(self) -> int:
        """Gates of a recurrent unit."""
        return NUM_GATES[self.recurrent]

    @property
    def conv_width(self) -> int:
        """Channels times bins after the last convolution: the first recurrent layer's input."""
        return self.convolutions[-1].channels * self.conv_bins[-1]

    @property
    def conv_bins(self) -> tuple[int, ...]:
        """Bins of the spectrogram and after each convolution."""
        bins = [self.num_bins]
        for conv in self.convolutions:
            bins.append(conv.output_bins(bins[-1]))
        return tuple(bins)

    @property
    def right_context_frames(self) -> int:
        """Spectrogram frames of future that the convolutions and the lookahead need.

        A bidirectional network needs the whole utterance as well.
        """
        context, stride = 0, 1
        for conv in self.convolutions:
            context += conv.time_padding * stride
            stride *= conv.stride[1]
        return context + self.lookahead * stride

    def output_lengths(self, frame_lengths: Lengths) -> Lengths:
        """Output frames for `frame_lengths` spectrogram frames (int, array or tensor)."""
        lengths: Lengths = -(-frame_lengths // self.time_stride)  # rounded up
        return lengths

    def num_parameters(self, num_labels: int) -> int:
        """Number of the network's parameters with `num_labels` labels, the blank included."""
        norm = 2 if self.batch_norm else 1  # gain and offset, or a plain bias
        count, channels = 0, 1
        for conv, bins in zip(self.convolutions, self.conv_bins, strict=False):
            taps = conv.kernel[1] * (bins if conv.is_1d else conv.kernel[0])
            count += conv.channels * (channels * taps + norm)
            channels = conv.channels
        width, gated = self.conv_width, self.num_gates * self.hidden_size
        for _ in range(self.num_recurrent):
            count += gated * (width + norm + self.hidden_size * (1 + self.bidirectional))
            width = self.hidden_size
        count += width * (self.lookahead + 1) if self.lookahead else 0
        for hidden in self.fully_connected:
            count += hidden * (width + norm)
            width = hidden
        return count + num_labels * (width + 1)

    def macs_per_second(self, num_labels: int) -> int:
        """Multiply-accumulates of a forward pass per second of audio, at 100 frames a second."""
        count, channels, rate_hz = 0.0, 1, 100.0
        for conv, bins, bins_out in zip(
            self.convolutions, self.conv_bins, self.conv_bins[1:], strict=False
        ):
            rate_hz /= conv.stride[1]
            taps = conv.kernel[1] * (bins if conv.is_1d else conv.kernel[0])
            count += rate_hz * conv.channels * channels * taps * bins_out
            channels = conv.channels
        width, gated = self.conv_width, self.num_gates * self.hidden_size
        for _ in range(self.num_recurrent):
            count += rate_hz * gated * (width + self.hidden_size) * (1 + self.bidirectional)
            count -= rate_hz * gated * width * self.bidirectional  # projected once for both
            width = self.hidden_size
        count += rate_hz * width * (self.lookahead + 1) if self.lookahead else 0
        for hidden in (*self.fully_connected, num_labels):
            count += rate_hz * hidden * width
            width = hidden
        return round(count)


def _ablation(num_recurrent: int, hidden_size: int, num_fully_connected: int) -> NetworkConfig:
    """A network of the paper's 38 M family (section 3.4): depth changes, parameters do not."""
    return NetworkConfig(
        convolutions=(ConvolutionConfig(hidden_size, (0, 11), (1, 2)),),
        recurrent="rnn",
        hidden_size=hidden_size,
        num_recurrent=num_recurrent,
        bidirectional=True,
        lookahead=0,
        fully_connected=(hidden_size,) * num_fully_connected,
    )


def _bidirectional(hidden_size: int, *convolutions: ConvolutionConfig) -> NetworkConfig:
    """Seven simple bidirectional layers and one fully connected one over 2-D convolutions."""
    return NetworkConfig(
        convolutions=convolutions,
        recurrent="rnn",
        hidden_size=hidden_size,
        num_recurrent=7,
        bidirectional=True,
        lookahead=0,
        fully_connected=(hidden_size,),
    )


def _forward(recurrent: Kind, num_recurrent: int, lookahead: int) -> NetworkConfig:
    """Forward layers of 2560 units with lookahead: the paper's networks that stream."""
    return NetworkConfig(
        recurrent=recurrent,
        hidden_size=2560,
        num_recurrent=num_recurrent,
        lookahead=lookahead,
        fully_connected=(2560,),
    )


PRESETS: Mapping[str, NetworkConfig] = MappingProxyType(
    {
        "ablation-5-layers-1-recurrent": _ablation(1, 2400, 3),
        "ablation-5-layers-3-recurrent": _ablation(3, 1880, 1),
        "ablation-7-layers": _ablation(5, 1510, 1),
        "ablation-9-layers": _ablation(7, 1280, 1),
        "baseline": _bidirectional(1760, *BASELINE_2D),
        "english-11-layers": _bidirectional(
            2128, *BASELINE_2D, ConvolutionConfig(96, (21, 11), (2, 1))
        ),
        "english-streaming": _forward("gru", 3, 80),
        "mandarin-research": _bidirectional(1760, *BASELINE_2D),
        "mandarin-streaming": _forward("rnn", 5, 19),
        "small": NetworkConfig(
            convolutions=(
                ConvolutionConfig(32, (41, 11), (4, 3)),
                ConvolutionConfig(32, (11, 5), (2, 1)),
            ),
            hidden_size=512,
            lookahead=12,
        ),
        "medium": NetworkConfig(
            convolutions=(
                ConvolutionConfig(32, (41, 11), (2, 3)),
                ConvolutionConfig(32, (21, 5), (2, 1)),
            ),
            hidden_size=1024,
            lookahead=12,
        ),
    }
)
"""The paper's networks, and two for CPUs: `small` and `medium`.

These two give an output every 30 ms. According to the paper, a stride of three frames costs English
characters nothing. Their right context, 5 + 2 * 3 frames of convolutions and 12 * 3 of lookahead,
keeps the latency under half a second.
"""
