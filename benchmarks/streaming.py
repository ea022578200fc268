"""Compare the exported step in onnxruntime with the same network in torch, with chunks of 200 ms.

Both process the same audio with the same state in one run, alternately. The figures are medians
over the chunks. The torch side is a straightforward port: it computes the context of the
convolutions again, and passes the recurrent states on.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ds2.graph.weights import Precision
from ds2.model.acoustic import AcousticModel
from ds2.model.bundle import MODEL, Bundle, ModelFacts
from ds2.model.features import FeatureConfig
from ds2.text.alphabet import english_characters
from ds2.training.network.config import PRESETS, NetworkConfig
from ds2.training.network.folding import folded_network
from ds2.training.network.network import Network
from ds2.training.network.onnx_graph import build_graph, output_delay
from figures import Figure, keep

CHUNK_S = 0.2
NUM_CHUNKS = 60


class TorchStep:
    """The folded network as a step: conv caches as in the exported graph, nn.GRU with state."""

    def __init__(self, network: Network) -> None:
        config = network.config
        weights = network.inference_weights()
        self.convs = folded_network(network, weights).conv
        self.config = config
        self.layers = []
        width = config.conv_width
        for i in range(config.num_recurrent):
            layer = torch.nn.GRU(width, config.hidden_size, batch_first=True)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                value = torch.from_numpy(weights[f"recurrent.{i}.fwd.{name}"])
                getattr(layer, f"{name}_l0").data.copy_(value)
            self.layers.append(layer)
            width = config.hidden_size
        self.lookahead = torch.from_numpy(weights["lookahead.weight"])[:, None]
        self.output = network.output

    def start(self, batch_size: int) -> list[torch.Tensor]:
        config, channels, state = self.config, 1, []
        for conv, bins in zip(config.convolutions, config.conv_bins, strict=False):
            cached = conv.kernel[1] - conv.stride[1]
            state.append(torch.zeros(batch_size, channels, bins, cached))
            channels = conv.channels
        state += [torch.zeros(1, batch_size, config.hidden_size) for _ in self.layers]
        return [*state, torch.zeros(batch_size, config.hidden_size, config.lookahead)]

    @torch.inference_mode()
    def step(self, frames: torch.Tensor, state: list[torch.Tensor]) -> list[torch.Tensor]:
        states = iter(state)
        after = []
        values = frames.transpose(1, 2)[:, None]
        for layer, conv in zip(self.convs, self.config.convolutions, strict=True):
            joined = torch.cat([next(states), values], 3)
            after.append(joined[..., -(conv.kernel[1] - conv.stride[1]) :])
            padding = (conv.kernel[0] // 2, 0)
            values = torch.conv2d(joined, layer.weight, layer.bias, conv.stride, padding)
            values = values.clamp(0, 20)
        values = values.flatten(1, 2).transpose(1, 2)
        for recurrent in self.layers:
            values, last = recurrent(values, next(states))
            after.append(last)
        joined = torch.cat([next(states), values.transpose(1, 2)], 2)
        after.append(joined[..., -self.config.lookahead :])
        values = torch.conv1d(joined, self.lookahead, groups=self.lookahead.shape[0])
        self.output(values.transpose(1, 2)).log_softmax(-1)
        return after


def onnx_model(network: Network, precision: Precision, directory: Path) -> AcousticModel:
    config = network.config
    facts = ModelFacts(
        True, config.time_stride, output_delay(config), config.right_context_frames, 0, precision
    )
    (directory / MODEL).write_bytes(build_graph(config, network.inference_weights(), precision))
    return AcousticModel(Bundle(directory, english_characters(), FeatureConfig(), facts))


def measure(config: NetworkConfig, batch_size: int) -> tuple[float, float, int]:
    """Median milliseconds for a chunk in torch and in onnxruntime; and the frames in a chunk."""
    torch.manual_seed(0)
    network = Network(config, 29).eval()
    stride = config.time_stride
    num_frames = round(CHUNK_S * 100 / stride) * stride
    frames = np.random.default_rng(0).standard_normal((batch_size, num_frames, 161))
    frames = frames.astype(np.float32)
    torch_step = TorchStep(network)
    torch_state = torch_step.start(batch_size)
    times: dict[str, list[float]] = {"torch": [], "onnxruntime": []}
    with tempfile.TemporaryDirectory() as directory:
        model = onnx_model(network, "float32", Path(directory))
        state = model.initial_state(batch_size)
        for _ in range(NUM_CHUNKS):
            start_s = time.perf_counter()
            torch_state = torch_step.step(torch.from_numpy(frames), torch_state)
            middle_s = time.perf_counter()
            _, state = model.step(frames, state)
            times["torch"].append(middle_s - start_s)
            times["onnxruntime"].append(time.perf_counter() - middle_s)
    torch_ms, onnx_ms = (1000 * statistics.median(each[10:]) for each in times.values())
    return torch_ms, onnx_ms, num_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=["small", "medium"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 16])
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title="milliseconds for a chunk of about 200 ms, one thread, medians")
    for heading in ("network", "streams", "chunk", "torch", "onnxruntime", "ratio", "real time"):
        table.add_column(heading, justify="right")
    for name in args.presets:
        for batch_size in args.batch_sizes:
            config = replace(PRESETS[name], fully_connected=())
            torch_ms, onnx_ms, num_frames = measure(config, batch_size)
            title = f"step of {name}, {batch_size} streams"
            keep(Figure(title, "ms", onnx_ms, "torch", torch_ms))
            table.add_row(
                name,
                str(batch_size),
                f"{10 * num_frames} ms",
                f"{torch_ms:.2f}",
                f"{onnx_ms:.2f}",
                f"{torch_ms / onnx_ms:.2f}",
                f"{batch_size * 10 * num_frames / onnx_ms:.0f} x",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
