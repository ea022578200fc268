"""Measure the speed of training and inference, beside deepspeech.pytorch if it is given.

    python benchmarks/network.py [--peer-source DIR] [--threads 1 2]

DIR is an unpacked copy of github.com/SeanNaren/deepspeech.pytorch (last commit b88a631). Its
model class needs `pip install pytorch-lightning omegaconf hydra-core levenshtein`. Both networks
have its convolutions (41x11 stride 2x2, 21x11 stride 2x1, 32 channels), three GRU layers of 512
and 29 labels, and learn with the same AdamW. They are not the same network: theirs normalises the
input of each recurrent layer with its padding, and has separate input weights for each direction.

A step is forward, CTC, backward, clipping and the optimiser. The networks take turns within each
round, so that other work on the machine affects all of them.
"""

import argparse
import re
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from ds2.training.network.config import PRESETS, NetworkConfig
from ds2.training.network.loss import ctc_loss
from ds2.training.network.network import Network
from figures import Figure, keep

NUM_LABELS = 29
LABELS_PER_S = 14


@dataclass(frozen=True)
class Batch:
    """Random features and labels, with as many labels per frame as speech has."""

    features: Tensor  # (B, T, F)
    frame_lengths: Tensor  # (B,)
    labels: Tensor  # (sum of label_lengths,)
    label_lengths: Tensor  # (B,)

    @property
    def duration_s(self) -> float:
        """Seconds of audio without padding."""
        return int(self.frame_lengths.sum()) / 100


def random_batch(batch_size: int, duration_s: float, shortest: float) -> Batch:
    """A batch of utterances from shortest * duration_s to duration_s."""
    longest = int(100 * duration_s)
    lengths = torch.linspace(longest, shortest * longest, batch_size).long()
    label_lengths = lengths * LABELS_PER_S // 100
    labels = torch.randint(1, NUM_LABELS, (int(label_lengths.sum()),))
    return Batch(torch.randn(batch_size, longest, 161), lengths, labels, label_lengths)


@dataclass(frozen=True)
class Contender:
    """A network, with functions for its loss and its outputs."""

    name: str
    network: nn.Module
    loss: Callable[[Batch], Tensor]
    infer: Callable[[Batch], Any]

    def training_step(self) -> Callable[[Batch], None]:
        """A training step, with its own optimiser."""
        optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-4)

        def step(batch: Batch) -> None:
            self.network.train()
            optimiser.zero_grad()
            self.loss(batch).backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 400)
            optimiser.step()

        return step

    def inference(self) -> Callable[[Batch], None]:
        """A forward pass in evaluation mode."""

        def run(batch: Batch) -> None:
            self.network.eval()
            with torch.no_grad():
                self.infer(batch)

        return run


def ours(name: str, config: NetworkConfig, dtype: torch.dtype) -> Contender:
    """Our network; its forward pass uses autocast unless dtype is float32."""
    network = Network(config, NUM_LABELS)
    half = dtype != torch.float32

    def infer(batch: Batch) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            return network(batch.features, batch.frame_lengths)

    def loss(batch: Batch) -> Tensor:
        return ctc_loss(*infer(batch), batch.labels, batch.label_lengths)

    return Contender(name, network, loss, infer)


def theirs(name: str, bidirectional: bool, dtype: torch.dtype) -> Contender:
    """deepspeech.pytorch's network; its package must be importable."""
    from deepspeech_pytorch.configs import train_config as peer
    from deepspeech_pytorch.enums import RNNType
    from deepspeech_pytorch.model import DeepSpeech
    from omegaconf import OmegaConf

    kind = peer.BiDirectionalConfig if bidirectional else peer.UniDirectionalConfig
    config = kind(rnn_type=RNNType.gru, hidden_size=512, hidden_layers=3)
    labels = list("_'ABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    parts = (config, peer.AdamConfig(), peer.SpectConfig())
    structured, optimiser, spectrogram = (OmegaConf.structured(part) for part in parts)
    network = DeepSpeech(labels, structured, 32, optimiser, spectrogram)
    half = dtype != torch.float32

    def spectrograms(batch: Batch) -> Tensor:
        return batch.features.transpose(1, 2)[:, None].contiguous()  # (B, 1, F, T)

    def loss(batch: Batch) -> Tensor:
        fractions = batch.frame_lengths / batch.features.shape[1]
        labels, label_lengths = batch.labels.int(), batch.label_lengths.int()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            total: Tensor = network.training_step(
                (spectrograms(batch), labels, fractions, label_lengths), 0
            )
        return total / len(batch.features)

    def infer(batch: Batch) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            return network(spectrograms(batch), batch.frame_lengths)

    return Contender(name, network, loss, infer)


def make_importable(source: Path, folder: Path) -> None:
    """Put a copy of the peer's package on the path that Python 3.11 accepts.

    Its dataclasses have instances as defaults, and Python 3.11 refuses these.
    """
    package = shutil.copytree(source / "deepspeech_pytorch", folder / "deepspeech_pytorch")
    for path in (package / "configs").glob("*.py"):
        text = re.sub(
            r"= (\w+Config|\w+Conf)\(\)", r"= field(default_factory=\1)", path.read_text()
        )
        path.write_text("from dataclasses import field\n" + text)
    sys.path.insert(0, str(folder))


def measure(
    jobs: dict[str, Callable[[Batch], None]], batch: Batch, rounds: int
) -> dict[str, tuple[float, float]]:
    """Median (CPU s, wall s) of each job, after a round to warm up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for turn in range(rounds + 1):
        for name, job in jobs.items():
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            job(batch)
            if turn:
                times[name].append((time.process_time() - cpu_s, time.perf_counter() - wall_s))
    return {
        name: (statistics.median(c for c, _ in pairs), statistics.median(w for _, w in pairs))
        for name, pairs in times.items()
    }


def contenders(bidirectional: bool, with_peer: bool) -> list[Contender]:
    """Both networks at both precisions; ratios compare with the peer in float32."""
    config = NetworkConfig(bidirectional=bidirectional, lookahead=0 if bidirectional else 19)
    found = []
    for dtype, label in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16")):
        if with_peer:
            found.append(theirs(f"deepspeech.pytorch {label}", bidirectional, dtype))
        found.append(ours(f"ds2 {label}", config, dtype))
    return found


def keep_both(title: str, results: dict[str, tuple[float, float]]) -> None:
    """Keep our CPU seconds in float32, and the peer's if it took part."""
    ours_s, _ = results["ds2 float32"]
    peer = "deepspeech.pytorch"
    theirs_s, _ = results.get(f"{peer} float32", (None, None))
    keep(Figure(title, "CPU s", ours_s, peer if theirs_s else "", theirs_s))


def report(title: str, batch: Batch, results: dict[str, tuple[float, float]]) -> Table:
    """Print a row for each network: times, audio per second, and ratio to the first network."""
    table = Table("network", "CPU s", "wall s", "x real time", "x first", title=title)
    first_cpu_s, first_wall_s = next(iter(results.values()))
    for name, (cpu_s, wall_s) in results.items():
        speed = f"{batch.duration_s / wall_s:.1f}"
        faster = f"{first_cpu_s / cpu_s:.2f} CPU, {first_wall_s / wall_s:.2f} wall"
        table.add_row(name, f"{cpu_s:.3f}", f"{wall_s:.3f}", speed, faster)
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-source", type=Path, help="an unpacked deepspeech.pytorch")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument(
        "--duration-s", type=float, default=10.0, help="length of the longest utterance in seconds"
    )
    parser.add_argument(
        "--shortest",
        type=float,
        default=1.0,
        help="length of the shortest utterance, relative to the longest",
    )
    parser.add_argument(
        "--presets", nargs="*", default=["small"], help="presets of ours to measure alone"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # warnings of the peer about its libraries
    torch.manual_seed(0)
    console = Console(width=100)
    batch = random_batch(args.batch_size, args.duration_s, args.shortest)
    single = random_batch(1, args.duration_s, 1.0)

    with tempfile.TemporaryDirectory() as folder:
        if args.peer_source:
            make_importable(args.peer_source, Path(folder))
        groups = {
            "3 x 512 forward GRU": contenders(False, bool(args.peer_source)),
            "3 x 512 bidirectional GRU": contenders(True, bool(args.peer_source)),
        }
        for preset in args.presets:
            dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
            groups[f"preset {preset}"] = [
                ours(f"ds2 {label}", PRESETS[preset], dtype) for label, dtype in dtypes.items()
            ]
        for threads in args.threads:
            torch.set_num_threads(threads)
            for title, group in groups.items():
                where = f"{title}, {threads} thread{'s' if threads > 1 else ''}"
                jobs = {entry.name: entry.training_step() for entry in group}
                results = measure(jobs, batch, args.rounds)
                console.print(report(f"training step, {where}", batch, results))
                keep_both(f"training step, {where}", results)
                jobs = {entry.name: entry.inference() for entry in group}
                for inputs in (batch, single):
                    size = f"batch of {len(inputs.features)}"
                    results = measure(jobs, inputs, args.rounds)
                    console.print(report(f"inference, {size}, {where}", inputs, results))
                    keep_both(f"inference, {size}, {where}", results)


if __name__ == "__main__":
    main()
