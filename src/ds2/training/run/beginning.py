"""The weights a run begins with, from another run, a checkpoint or a bundle."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ds2.errors import InputError
from ds2.model.bundle import load_bundle
from ds2.model.places import FACTS
from ds2.text.alphabet import Alphabet
from ds2.training.network.folding import folded_state
from ds2.training.network.network import Network
from ds2.training.network.onnx_graph import read_weights
from ds2.training.run.checkpoint import checkpoint_path, read_checkpoint


@dataclass(frozen=True)
class Beginning:
    """Weights of another model, and what its labels mean."""

    state: dict[str, Tensor]
    alphabet: Alphabet
    where: str


def begin_from(network: Network, alphabet: Alphabet, source: Path) -> str:
    """Take over the weights of another model; returns what was done, for the log.

    source: a run directory, a checkpoint or a bundle. Where the alphabet is another of the same
    language and kind, the output layer keeps the symbols that both have and is fresh for the
    others; else all of it is fresh, as its labels mean something else. Raises InputError if the
    networks differ.
    """
    if (source / FACTS).is_file():
        beginning = _from_bundle(source, network)
    else:
        beginning = _from_checkpoint(source)
    fresh = network.state_dict()
    pairs = _shared_labels(beginning.alphabet, alphabet)
    state = {
        name: _relabelled(weight, fresh[name], pairs) if name.startswith("output.") else weight
        for name, weight in beginning.state.items()
    }
    for name in fresh | state:
        if name not in state or name not in fresh or state[name].shape != fresh[name].shape:
            raise InputError(
                f"training.init_from: {beginning.where}: its network differs from this one in "
                f"{name}: use its [network] settings"
            )
    network.load_state_dict(state)
    if beginning.alphabet == alphabet:
        return f"all weights from {beginning.where}"
    return (
        f"all weights from {beginning.where}; its alphabet is another: the output layer's for "
        f"{len(pairs)} of {len(alphabet)} labels"
    )


def _shared_labels(old: Alphabet, new: Alphabet) -> list[tuple[int, int]]:
    """The label in the old alphabet and in the new one of all that means the same in both."""
    if (old.language, old.kind) != (new.language, new.kind):
        return []
    labels = {symbol: label for label, symbol in enumerate(old.symbols, 1)}
    shared = [
        (labels[symbol], label) for label, symbol in enumerate(new.symbols, 1) if symbol in labels
    ]
    return [(0, 0), *shared]


def _relabelled(old: Tensor, fresh: Tensor, pairs: list[tuple[int, int]]) -> Tensor:
    """`fresh` (V, ...) with the rows of `old` (V_old, ...) for the labels that both have.

    Networks of other widths are left as they differ, for the caller to name.
    """
    if old.shape[1:] != fresh.shape[1:]:
        return old
    relabelled = fresh.clone()
    for old_label, new_label in pairs:
        relabelled[new_label] = old[old_label]
    return relabelled


def _from_checkpoint(source: Path) -> Beginning:
    path = checkpoint_path(source)
    checkpoint = read_checkpoint(path)
    step = f"{path} (step {checkpoint.progress.step})"
    return Beginning(dict(checkpoint.network), checkpoint.alphabet, step)


def _from_bundle(source: Path, network: Network) -> Beginning:
    if network.config.batch_norm:
        raise InputError(
            f"training.init_from: {source}: a bundle's batch norm is folded into its weights: set "
            "network.batch_norm = false, or begin from the run that it was exported from"
        )
    bundle = load_bundle(source)
    state = folded_state(read_weights(bundle.model_path.read_bytes()))
    return Beginning(state, bundle.alphabet, str(source))
