"""Small random networks as checkpoints and bundles, for tests of the steps after training.

The bundles of TINY and TINY_BIDIRECTIONAL lie beside this file, ready, so that tests of the runtime
need no torch: `python -m aids.models` writes them anew, and a test of the export compares them.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds2.model.bundle import Bundle, load_bundle
from ds2.model.features import FeatureConfig
from ds2.text.alphabet import Alphabet, english_characters, mandarin_characters
from ds2.training.network.config import ConvolutionConfig, NetworkConfig

if TYPE_CHECKING:
    from ds2.graph.weights import Precision
    from ds2.training.network.network import Network

TINY = NetworkConfig(
    convolutions=(
        ConvolutionConfig(4, (41, 11), (4, 3)),
        ConvolutionConfig(4, (11, 5), (2, 1)),
    ),
    hidden_size=16,
    num_recurrent=2,
    lookahead=3,
)
TINY_BIDIRECTIONAL = NetworkConfig(
    convolutions=(ConvolutionConfig(4, (41, 11), (4, 2)),),
    recurrent="rnn",
    hidden_size=16,
    num_recurrent=2,
    lookahead=0,
    bidirectional=True,
)
READY = {
    (language, config): Path(__file__).parent / "bundles" / f"{name}-{language}"
    for name, config in (("forward", TINY), ("bidirectional", TINY_BIDIRECTIONAL))
    for language in ("en", "zh")
}
"""Ready bundles, which need no export."""


def random_network(config: NetworkConfig, num_labels: int, seed: int = 0) -> "Network":
    """A network whose running averages and output differ from their first values."""
    torch = pytest.importorskip("torch")
    from ds2.training.network.network import Network

    torch.manual_seed(seed)
    network = Network(config, num_labels)
    features = 2 * torch.randn(3, 120, config.num_bins) + 0.5
    with torch.no_grad():
        for _ in range(3):
            network(features, torch.tensor([120, 80, 33]))
        network.output.weight *= 4  # larger than at the start: labels change often
    return network.eval()


def write_random_checkpoint(
    path: Path,
    config: NetworkConfig,
    alphabet: Alphabet,
    normalisation: str | None = None,
    init_from: Path | None = None,
) -> Path:
    """A checkpoint of a random network, of a run that began with `init_from`."""
    pytest.importorskip("torch")
    from ds2.training.config import TrainingConfig, config_from_dict
    from ds2.training.run.checkpoint import Checkpoint, Progress, write_checkpoint

    if normalisation is None:
        normalisation = "clip" if config.bidirectional else "causal"
    settings = config_from_dict(
        {"data": {"train": ["train.jsonl"], "dev": ["dev.jsonl"]}}, "settings"
    )
    network = random_network(config, len(alphabet))
    settings = replace(
        settings,
        features=FeatureConfig(normalisation=normalisation),
        network=config,
        training=TrainingConfig(init_from=init_from),
    )
    write_checkpoint(path, Checkpoint(settings, alphabet, Progress(), network.state_dict(), {}, {}))
    return path


def write_random_bundle(
    directory: Path, config: NetworkConfig = TINY, *, language: str = "en"
) -> Bundle:
    """A bundle of a random network, in its own directory in `directory`."""
    ready = READY.get((language, config))
    if ready is None:
        return export_random_bundle(directory, config, language=language)
    shutil.copytree(ready, directory / "bundle")
    return load_bundle(directory / "bundle")


def export_random_bundle(
    directory: Path,
    config: NetworkConfig = TINY,
    *,
    language: str = "en",
    precision: "Precision" = "float32",
) -> Bundle:
    """The same, exported now; it needs torch."""
    pytest.importorskip("torch")
    from ds2.training.export import export

    alphabet = english_characters() if language == "en" else mandarin_characters(["你好世界"])
    checkpoint = write_random_checkpoint(directory / "checkpoint.safetensors", config, alphabet)
    return export(checkpoint, directory / "bundle", precision=precision)


if __name__ == "__main__":
    import tempfile

    for (language, config), place in READY.items():
        with tempfile.TemporaryDirectory() as directory:
            bundle = export_random_bundle(Path(directory), config, language=language)
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(bundle.path, place)
