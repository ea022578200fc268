"""From a checkpoint to a bundle: build the graph, prove that it equals the network, write it."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.graph.weights import Precision, rounded
from ds2.model.acoustic import AcousticModel
from ds2.model.bundle import (
    MODEL,
    Bundle,
    ModelFacts,
    check_place,
    fitting_decoding,
    load_bundle,
    write_bundle,
)
from ds2.model.bundle_lm import add_lm
from ds2.model.computing import Arithmetic
from ds2.model.places import FACTS
from ds2.training.network.config import NetworkConfig
from ds2.training.network.folding import folded_network
from ds2.training.network.network import Network
from ds2.training.network.onnx_graph import build_graph, output_delay
from ds2.training.run.checkpoint import (
    AVERAGED,
    BEST,
    LAST,
    Checkpoint,
    checkpoint_bytes,
    load_network,
)

TOLERANCE = 1e-4
"""Largest difference of log-probabilities allowed between graph and network."""

PARITY_FRAMES = (97, 60, 24)
"""Lengths, in frames, of the random utterances of the parity check. One batch holds them all."""


CHECKPOINTS = {"best": BEST, "last": LAST, "averaged": AVERAGED}
"""The files of a run's checkpoints, by their names."""


class ParityError(Exception):
    """The exported graph does not equal the network. It is a fault of ds2, not of its input."""


def export(
    source: Path,
    target: Path,
    *,
    checkpoint_name: str | None = None,
    precision: Precision = "float32",
    arithmetic: Arithmetic = "auto",
    licence: str = "unknown",
    with_network: bool = False,
) -> Bundle:
    """Write the network of a run or checkpoint as the bundle `target`.

    checkpoint_name: "best", "last" or "averaged", if `source` is a run directory; None: the name
        that `checkpoint_to_export` returns.
    arithmetic: arithmetic that the model uses if its user asks for none.
    with_network: also write network.safetensors, from which training may begin.
    If the run began with a bundle of the same language, a new bundle gets the language model of
    that bundle, with its settings.
    Raises InputError, and ParityError if the graph differs from the network.
    """
    check_place(target)  # before the long work
    is_new = not (target / FACTS).is_file()
    path = source
    if source.is_dir():
        checkpoint_name = checkpoint_name or checkpoint_to_export(source)
        path = source / "checkpoints" / CHECKPOINTS[checkpoint_name]
        if not path.is_file():
            raise InputError(f"{source}: holds no {checkpoint_name} checkpoint ({path.name})")
    network, checkpoint = load_network(path)
    if not network.config.bidirectional and not checkpoint.config.features.causal:
        raise InputError(
            f"{path}: a forward network that was trained with features.normalisation = "
            '"clip" cannot stream: train it with "causal"'
        )
    if network.config.bidirectional and arithmetic == "int8":
        raise InputError(f"{path}: needs whole utterances: arithmetic int8 is for streaming models")
    weights = network.inference_weights()
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise InputError(
                f"{path}: {name} holds NaN or infinity: the training has diverged: export an "
                "earlier checkpoint"
            )
    graph = build_graph(network.config, weights, precision)
    bundle = describe(target, network, checkpoint, precision, licence)
    bundle = replace(bundle, model=replace(bundle.model, arithmetic=arithmetic))
    beginning = _beginning_with_lm(checkpoint) if is_new else None
    assert_parity(bundle, network, rounded(weights, precision), graph)
    written = write_bundle(bundle, graph, to_begin_from(checkpoint) if with_network else None)
    if beginning is None or beginning.lm_path is None or beginning.decoding is None:
        return written
    decoding = fitting_decoding(beginning.decoding, beginning.alphabet, written.alphabet)
    return add_lm(written.path, beginning.lm_path, decoding)


def _beginning_with_lm(checkpoint: Checkpoint) -> Bundle | None:
    """The bundle that the run began with, if it has a language model for this alphabet."""
    source = checkpoint.config.training.init_from
    if source is None or not (source / FACTS).is_file():
        return None
    bundle = load_bundle(source)
    if bundle.lm is None or bundle.language != checkpoint.alphabet.language:
        return None
    return bundle


def to_begin_from(checkpoint: Checkpoint) -> bytes:
    """A checkpoint's file for other people's runs to begin from: `training.init_from`.

    It holds the weights that an evaluation judges: matrices as float16, vectors, which contain
    batch norm's statistics, as they are. It has no state of the optimiser. Of the paths in its
    settings, two names remain.
    """
    state = checkpoint.evaluated_state
    small = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    config = checkpoint.config
    data = replace(
        config.data,
        train=tuple(_two_names(path) for path in config.data.train),
        dev=tuple(Path(_two_names(path)) for path in config.data.dev),
        noise=tuple(Path(_two_names(path)) for path in config.data.noise),
        alphabet=Path(config.data.alphabet).name,
        cache_dir=None,
    )
    training = replace(config.training, init_from=None)
    return checkpoint_bytes(
        replace(
            checkpoint,
            config=replace(config, data=data, training=training),
            network=small,
            optimiser={},
            average={},
        )
    )


def _two_names(path: str | Path) -> str:
    """The last two names of a path: en-train-cv/manifest.jsonl."""
    return "/".join(PurePath(path).parts[-2:])


def checkpoint_to_export(run_dir: Path) -> str:
    """ "best", or "last" for a run that has no evaluation yet.

    Raises InputError if there is no checkpoint.
    """
    for name in ("best", "last"):
        if (run_dir / "checkpoints" / CHECKPOINTS[name]).is_file():
            return name
    raise InputError(f"{run_dir}: holds no checkpoint: train it, or name another directory")


def describe(
    target: Path, network: Network, checkpoint: Checkpoint, precision: Precision, licence: str
) -> Bundle:
    """The bundle's facts."""
    config = network.config
    return Bundle(
        path=target,
        alphabet=checkpoint.alphabet,
        features=checkpoint.config.features,
        model=ModelFacts(
            streaming=not config.bidirectional,
            time_stride=config.time_stride,
            delay=0 if config.bidirectional else output_delay(config),
            right_context_frames=config.right_context_frames,
            num_parameters=config.num_parameters(len(checkpoint.alphabet)),
            weights=precision,
            description=summary(config),
        ),
        training=_training_facts(checkpoint),
        licence=licence,
    )


def summary(config: NetworkConfig) -> str:
    """The network in words."""
    direction = "bidirectional" if config.bidirectional else "forward"
    kind = {"rnn": "clipped-ReLU RNN", "gru": "GRU", "lstm": "LSTM"}[config.recurrent]
    parts = [
        f"{len(config.convolutions)} convolutions",
        f"{config.num_recurrent} {direction} {kind} layers of {config.hidden_size}",
    ]
    if config.lookahead:
        parts.append(f"lookahead {config.lookahead}")
    parts += [f"fully connected {width}" for width in config.fully_connected]
    return ", ".join(parts)


def _training_facts(checkpoint: Checkpoint) -> Mapping[str, Any]:
    progress = checkpoint.progress
    facts: dict[str, Any] = {
        "epochs": progress.epoch,
        "steps": progress.step,
        "audio_h": round(progress.audio_s / 3600, 2),  # repetitions counted
    }
    if progress.best:
        facts["dev"] = {
            "greedy_wer": round(progress.best.wer, 4),
            "greedy_cer": round(progress.best.cer, 4),
        }
    return facts


def assert_parity(
    bundle: Bundle,
    network: Network,
    weights: Mapping[str, NDArray[np.float32]],
    graph: bytes,
) -> None:
    """Raise ParityError unless graph, folded network and network agree on random utterances.

    weights: folded, and rounded like the graph's weights. The graph of a streaming network runs
    in chunks of several sizes. With each size, it must equal the whole-utterance network.
    """
    folded = folded_network(network, weights)
    lengths = np.array(PARITY_FRAMES, np.int64)
    random = np.random.default_rng(0)
    shape = (len(lengths), int(lengths.max()), network.config.num_bins)
    features = random.standard_normal(shape).astype(np.float32)
    expected = _network_log_probs(folded, features, lengths)
    if bundle.model.weights == "float32":
        _compare("folded weights", _network_log_probs(network, features, lengths), expected)
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / MODEL).write_bytes(graph)
        there = replace(bundle, path=Path(directory))
        model = AcousticModel(there, arithmetic="float", device="cpu")
        if may_be_int8(bundle.model):
            assert_same_pieces(
                AcousticModel(there, arithmetic="int8", device="cpu"), features, lengths
            )
    if not bundle.model.streaming:
        found = model.whole(features, lengths)
        frames = network.config.output_lengths(lengths)
        pieces = [row[:count] for row, count in zip(found, frames, strict=True)]
        _compare("the graph", pieces, expected)
        return
    stride = network.config.time_stride
    for chunk in (stride, 4 * stride, 64 * stride):
        found_rows = chunked_log_probs(model, features, lengths, chunk)
        _compare(f"the graph in chunks of {chunk} frames", found_rows, expected)


def may_be_int8(facts: ModelFacts) -> bool:
    """Whether some machine computes a model with these facts in int8 arithmetic unasked."""
    if facts.arithmetic == "auto":
        return facts.streaming and facts.weights == "int8"
    return facts.arithmetic == "int8"


def assert_same_pieces(
    model: AcousticModel, features: NDArray[np.float32], lengths: NDArray[np.int64]
) -> None:
    """Raise ParityError unless a model gives the same for all chunks, alone and side by side.

    This is for int8 arithmetic, which rounds: a difference in the last bit could grow.
    """
    stride = model.bundle.model.time_stride
    whole = chunked_log_probs(model, features, lengths, 64 * stride)
    for chunk in (stride, 4 * stride):
        for i, expected in enumerate(whole):
            row = slice(i, i + 1)
            found = chunked_log_probs(model, features[row], lengths[row], chunk)[0]
            if not np.array_equal(found, expected):
                raise ParityError(
                    f"the graph in int8 arithmetic: chunks of {chunk} frames are not the whole"
                )


@torch.inference_mode()
def _network_log_probs(
    network: Network, features: NDArray[np.float32], lengths: NDArray[np.int64]
) -> list[NDArray[np.float32]]:
    log_probs, counts = network(torch.from_numpy(features), torch.from_numpy(lengths))
    return [row[:count].numpy() for row, count in zip(log_probs, counts, strict=True)]


def chunked_log_probs(
    model: AcousticModel, features: NDArray[np.float32], lengths: NDArray[np.int64], chunk: int
) -> list[NDArray[np.float32]]:
    """log_probs (T', V) of each utterance, from the streaming graph with `chunk` frames at a time.

    features: (B, T, F); lengths: (B,); chunk: a multiple of the model's time stride.
    """
    facts = model.bundle.model
    counts = -(-lengths // facts.time_stride)
    num_outputs = facts.delay + int(counts.max())
    num_frames = -(-num_outputs * facts.time_stride // chunk) * chunk
    padding = max(0, num_frames - features.shape[1])
    padded = np.pad(features, ((0, 0), (0, padding), (0, 0)), constant_values=np.float32(1))
    state = model.initial_state(len(features))
    pieces = []
    for start in range(0, num_frames, chunk):
        piece, state = model.step(padded[:, start : start + chunk], state, lengths)
        pieces.append(piece)
    outputs = np.concatenate(pieces, axis=1)[:, facts.delay :]
    return [row[:count] for row, count in zip(outputs, counts, strict=True)]


def _compare(
    what: str, found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]
) -> None:
    pairs = list(zip(found, expected, strict=True))
    largest = float(np.max([np.abs(a - b).max() for a, b in pairs]))
    if not largest <= TOLERANCE:  # NaN is a difference, too
        raise ParityError(
            f"{what}: log-probabilities differ by {largest:.2g}, more than {TOLERANCE:.2g}"
        )
