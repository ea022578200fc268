"""Write the bundle of an imported network."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ds2.errors import InputError
from ds2.graph.weights import Precision
from ds2.importing.graph import build_graph
from ds2.importing.network import ForeignNetwork
from ds2.model.bundle import Bundle, ModelFacts, check_place, write_bundle
from ds2.model.front_end import FrontEnd
from ds2.recognition.recognizer import Recognizer
from ds2.text.alphabet import Alphabet


@dataclass(frozen=True)
class Imported:
    """Everything that a bundle needs."""

    network: ForeignNetwork
    alphabet: Alphabet
    features: FrontEnd
    origin: Mapping[str, str]  # information for people: the toolkit, the file


def write_imported(
    imported: Imported, target: Path, *, precision: Precision = "float32", licence: str = "unknown"
) -> Bundle:
    """Write the bundle `target` after it has recognised a trial clip. Raises InputError."""
    network = imported.network
    check_place(target)
    if network.num_bins != imported.features.num_bins:
        raise InputError(
            f"{target}: not written: the network takes {network.num_bins} bins, but the features "
            f"have {imported.features.num_bins}"
        )
    graph = build_graph(network, precision)
    bundle = Bundle(
        path=target,
        alphabet=imported.alphabet,
        features=imported.features,
        model=ModelFacts(
            streaming=network.streaming,
            time_stride=network.time_stride,
            delay=network.delay if network.streaming else 0,
            right_context_frames=network.edge_frames,
            num_parameters=sum(value.size for value in network.weights.values()),
            weights=precision,
            description=network.summary,
            edge_frames=network.edge_frames,
        ),
        training=_training_facts(imported.origin),
        licence=licence,
    )
    _try_out(bundle, graph)
    return write_bundle(bundle, graph)


def _try_out(bundle: Bundle, graph: bytes) -> None:
    """Run the model on two seconds of noise. Raises InputError if it gives no probabilities."""
    rate_hz = bundle.features.sample_rate_hz
    noise = np.random.default_rng(0).normal(0, 0.05, 2 * rate_hz).astype(np.float32)
    with tempfile.TemporaryDirectory() as directory:
        trial = write_bundle(replace(bundle, path=Path(directory) / "trial"), graph)
        log_probs = Recognizer.load(trial.path).log_probs(noise)
    sums = np.exp(log_probs.astype(np.float64)).sum(axis=1)
    if not len(sums) or not np.allclose(sums, 1, atol=1e-3):
        raise InputError(
            f"{bundle.path}: not written: the network gives no probabilities for a trial clip; "
            "the checkpoint's weights are damaged"
        )


def sha256_of(path: Path) -> str:
    """The SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _training_facts(origin: Mapping[str, str]) -> dict[str, Any]:
    return {"imported": dict(origin)}
