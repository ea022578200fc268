"""The first weights of a run, from another run, a checkpoint or a bundle."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ds2.errors import InputError
from ds2.graph.weights import read_weights
from ds2.model.bundle import load_bundle, verify_network
from ds2.model.features import FeatureConfig
from ds2.model.places import FACTS
from ds2.text.alphabet import Alphabet
from ds2.training.data.dataset import Batch
from ds2.training.network.folding import folded_state
from ds2.training.network.network import Network
from ds2.training.run.checkpoint import checkpoint_path, read_checkpoint

NUM_BATCHES = 20
"""Number of minibatches for measuring the batch norm of a bundle's weights."""


@dataclass(frozen=True)
class Beginning:
    """Weights of another model, and the alphabet of its labels."""

    state: dict[str, Tensor]
    alphabet: Alphabet
    where: str


def alphabet_of_beginning(source: Path) -> Alphabet:
    """The alphabet of a run directory, a checkpoint or a bundle. Raises InputError."""
    if (source / FACTS).is_file():
        return load_bundle(source).alphabet
    return read_checkpoint(checkpoint_path(source)).alphabet


def begin_from(
    network: Network, alphabet: Alphabet, source: Path, batches: Iterable[Batch] = ()
) -> str:
    """Take over the weights of another model. Returns a line for the log.

    source: a run directory, a checkpoint or a bundle. If the alphabets differ but have the same
    language and kind, the output layer takes the weights of the symbols that both have. The other
    symbols get new weights. If language or kind differ, the whole output layer is new, because its
    labels mean something else.
    batches: training data, which give the network its batch norm if the source is a bundle that
    holds no network.safetensors.
    Raises InputError if the networks differ.
    """
    is_bundle = (source / FACTS).is_file()
    kept = _kept_network(source) if is_bundle and network.config.batch_norm else None
    if kept or not is_bundle:
        return _fill(network, alphabet, _from_run(kept or source))
    if not network.config.batch_norm:
        return _fill(network, alphabet, _from_bundle(source))
    device = next(network.parameters()).device
    folded = Network(replace(network.config, batch_norm=False), network.num_labels).to(device)
    told = _fill(folded, alphabet, _from_bundle(source))
    num_batches = unfold(network, folded, batches)
    return f"{told}; batch norm measured on {num_batches} minibatches"


def _fill(network: Network, alphabet: Alphabet, beginning: Beginning) -> str:
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
        f"all weights from {beginning.where}; its alphabet differs: the output layer takes the "
        f"weights of {len(pairs)} of {len(alphabet)} labels"
    )


@torch.no_grad()
def unfold(network: Network, folded: Network, batches: Iterable[Batch]) -> int:
    """Give a network with batch norm the function of a network whose batch norm is folded in.

    The folded network's activations on minibatches give the statistics of each layer. Gain and
    offset undo them. In training, each minibatch has its own statistics, which are close to these.
    Returns the number of minibatches. Raises InputError without any minibatch.
    """
    pairs = [
        (layer, twin)
        for part in ("conv", "recurrent", "fc")
        for layer, twin in zip(getattr(network, part), getattr(folded, part), strict=True)
    ]
    state = folded.state_dict()
    network.load_state_dict({n: state.get(n, own) for n, own in network.state_dict().items()})

    def measure(layer: nn.Module) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_twin: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            layer.forward(*inputs)  # stores its statistics; nobody uses its result

        return hook

    for layer, _ in pairs:
        layer.batch_norm.num_batches.zero_()
    hooks = [twin.register_forward_pre_hook(measure(layer)) for layer, twin in pairs]
    network.train()
    folded.eval()
    num_batches = 0
    for batch in itertools.islice(batches, NUM_BATCHES):
        moved = batch.to(next(folded.parameters()).device)
        folded(moved.features, moved.frame_lengths)
        num_batches += 1
    for hook in hooks:
        hook.remove()
    if not num_batches:
        raise InputError("training.init_from: a bundle needs minibatches to measure batch norm on")
    for layer, twin in pairs:
        norm = layer.batch_norm
        norm.gamma.copy_((norm.running_var + norm.EPSILON).sqrt())
        norm.beta.copy_(twin.bias + norm.running_mean)
    return num_batches


def _shared_labels(old: Alphabet, new: Alphabet) -> list[tuple[int, int]]:
    """The old and the new label of every symbol that is in both alphabets."""
    if (old.language, old.kind) != (new.language, new.kind):
        return []
    labels = {symbol: label for label, symbol in enumerate(old.symbols, 1)}
    shared = [
        (labels[symbol], label) for label, symbol in enumerate(new.symbols, 1) if symbol in labels
    ]
    return [(0, 0), *shared]


def _relabelled(old: Tensor, fresh: Tensor, pairs: list[tuple[int, int]]) -> Tensor:
    """`fresh` (V, ...) with the rows of `old` (V_old, ...) for the labels that both have.

    If the widths differ, the result is `old`, and the caller reports the difference.
    """
    if old.shape[1:] != fresh.shape[1:]:
        return old
    relabelled = fresh.clone()
    for old_label, new_label in pairs:
        relabelled[new_label] = old[old_label]
    return relabelled


def _from_run(source: Path) -> Beginning:
    path = checkpoint_path(source)
    checkpoint = read_checkpoint(path)
    step = f"{path} (step {checkpoint.progress.step})"
    return Beginning(dict(checkpoint.evaluated_state), checkpoint.alphabet, step)


def _kept_network(source: Path) -> Path | None:
    """The checkpoint in a bundle, if there is one. Raises InputError if it is another bundle's."""
    bundle = load_bundle(source)
    verify_network(bundle)
    return bundle.network_path


def _from_bundle(source: Path) -> Beginning:
    """The weights of a bundle, whose batch norm is folded into them."""
    bundle = load_bundle(source)
    if not isinstance(bundle.features, FeatureConfig):
        origin = bundle.training.get("imported", {}).get("from", "another toolkit")
        raise InputError(
            f"training.init_from: {source}: was imported from {origin}: training knows neither its "
            "features nor its network: begin from a model that ds2 has trained"
        )
    state = folded_state(read_weights(bundle.model_path.read_bytes()))
    return Beginning(state, bundle.alphabet, str(source))
