"""The acoustic network: features to log_probs, with its weights for export."""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ds2.training.network.config import NetworkConfig
from ds2.training.network.layers import (
    Convolution,
    FullyConnected,
    Lookahead,
    Recurrent,
    valid_frames,
)


class Network(nn.Module):
    """Deep Speech 2 (arXiv:1512.02595, figure 1) for `num_labels` labels, the blank included."""

    def __init__(self, config: NetworkConfig, num_labels: int) -> None:
        super().__init__()
        self.config = config
        self.num_labels = num_labels
        channels = [1, *(conv.channels for conv in config.convolutions)]
        self.conv = nn.ModuleList(
            Convolution(conv, channels[i], config.conv_bins[i], config.batch_norm)
            for i, conv in enumerate(config.convolutions)
        )
        hidden = config.hidden_size
        self.recurrent = nn.ModuleList(
            Recurrent(
                config.recurrent,
                hidden if i else config.conv_width,
                hidden,
                config.bidirectional,
                config.batch_norm,
            )
            for i in range(config.num_recurrent)
        )
        self.lookahead = Lookahead(hidden, config.lookahead) if config.lookahead else None
        widths = [hidden, *config.fully_connected]
        self.fc = nn.ModuleList(
            FullyConnected(before, after, config.batch_norm) for before, after in pairwise(widths)
        )
        self.output = nn.Linear(widths[-1], num_labels)
        nn.init.xavier_normal_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Tensor, frame_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """log_probs (B, T', V) float32, 0 where padded, and their lengths (B,) int64.

        features: (B, T, F) float32; frame_lengths: (B,) int64, the valid frames; 0 for an utterance
        that is missing. The content and the length of the padding do not matter.
        """
        valid = valid_frames(frame_lengths, features.shape[1])
        features = features.masked_fill(~valid[:, :, None], 0.0)
        lengths = frame_lengths
        values = features.transpose(1, 2)[:, None].contiguous()  # (B, 1, F, T)
        for conv in self.conv:
            values, lengths = conv(values, lengths)
        states = values.flatten(1, 2).permute(2, 0, 1).contiguous()  # (T', B, C * F')
        for i, layer in enumerate(self.recurrent):
            if i:
                states = F.dropout(states, self.config.dropout, self.training)
            states = layer(states, lengths)
        if self.lookahead is not None:
            states = self.lookahead(states)
        return self._log_probs(states, lengths), lengths

    def _log_probs(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(B, T', V) from (T', B, H) states that are 0 where padded."""
        valid = valid_frames(lengths, len(states)).T  # (T', B)
        frames = states.flatten(0, 1)  # with padding: to leave it out, the host would wait
        for layer in self.fc:
            frames = layer(frames, valid.flatten(), lengths.sum())
        log_probs = F.log_softmax(self.output(frames).float(), dim=-1)
        log_probs = log_probs.view(*states.shape[:2], self.num_labels)
        return log_probs.masked_fill(~valid[:, :, None], 0.0).transpose(0, 1)

    @torch.no_grad()
    def inference_weights(self) -> dict[str, np.ndarray]:
        """All weights, batch norm folded in, as float32 arrays.

        conv.{i}.weight (Cout, Cin, kf, kt), where a 1-D kernel spans all its input's bins, and
        .bias; recurrent.{l}.{fwd|bwd}.weight_ih, .weight_hh, .bias_ih, .bias_hh in torch's gate
        order (bias_hh is zero); lookahead.weight (H, tau + 1); fc.{i}.weight and .bias;
        output.weight and .bias.
        """
        weights = self._folded_weights()
        return {name: value.float().cpu().numpy().copy() for name, value in weights.items()}

    def _folded_weights(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = {}
        for kind, layers in (("conv", self.conv), ("fc", self.fc)):
            for i, layer in enumerate(layers):
                assert isinstance(layer, Convolution | FullyConnected)
                weights[f"{kind}.{i}.weight"], weights[f"{kind}.{i}.bias"] = layer.folded()
        for i, layer in enumerate(self.recurrent):
            assert isinstance(layer, Recurrent)
            input_weight, bias = layer.folded()
            for direction, recurrent_weight in zip(
                ("fwd", "bwd"), layer.recurrent_weights(), strict=False
            ):
                name = f"recurrent.{i}.{direction}"
                weights[f"{name}.weight_ih"] = input_weight
                weights[f"{name}.weight_hh"] = recurrent_weight
                weights[f"{name}.bias_ih"] = bias
                weights[f"{name}.bias_hh"] = torch.zeros_like(bias)
        if self.lookahead is not None:
            weights["lookahead.weight"] = self.lookahead.weight
        weights["output.weight"] = self.output.weight
        weights["output.bias"] = self.output.bias
        return weights
