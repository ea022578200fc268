"""The weights a run begins with, from another run, a checkpoint or a bundle."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ds2.alphabet import Alphabet
from ds2.bundle import FACTS, load_bundle
from ds2.errors import InputError
from ds2.training.checkpoint import checkpoint_path, read_checkpoint
from ds2.training.folding import folded_state
from ds2.training.network import Network
from ds2.training.onnx_graph import read_weights


@dataclass(frozen=True)
class Beginning:
    """Weights of another model, and what its labels mean."""

    state: dict[str, Tensor]
    alphabet: Alphabet
    where: str


def begin_from(network: Network, alphabet: Alphabet, source: Path) -> str:
    """Take over the weights of another model; returns what was done, for the log.

    source: a run directory, a checkpoint or a bundle. With another alphabet the output layer
    stays fresh, as its labels mean something else. Raises InputError if the networks differ.
    """
    if (source / FACTS).is_file():
        beginning = _from_bundle(source, network)
    else:
        beginning = _from_checkpoint(source)
    state = beginning.state
    same_alphabet = beginning.alphabet == alphabet
    if not same_alphabet:
        state = {name: w for name, w in state.items() if not name.startswith("output.")}
    for name, value in network.state_dict().items():
        if name.startswith("output.") and not same_alphabet:
            continue
        if name not in state or state[name].shape != value.shape:
            raise InputError(
                f"training.init_from: {beginning.where}: its network differs from this one in "
                f"{name}: use its [network] settings"
            )
    network.load_state_dict(state, strict=same_alphabet)
    kept = "all weights" if same_alphabet else "all weights but the output layer's (new alphabet)"
    return f"{kept} from {beginning.where}"


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
