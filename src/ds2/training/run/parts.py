"""The parts of a training run: the data that it reads, and the model that it changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.manifest import Utterance
from ds2.text.alphabet import Alphabet
from ds2.training.augment import Augmenter, NoiseBank
from ds2.training.config import RunConfig
from ds2.training.data.examples import (
    Example,
    Selection,
    build_alphabet,
    read_shares,
    read_training_data,
    read_utterances,
    refuse_bad,
    select_for_evaluation,
    select_for_training,
)
from ds2.training.data.minibatches import Minibatches, minibatches
from ds2.training.data.resident import (
    ResidentSamples,
    free_bytes,
    num_bytes,
    resident_samples,
)
from ds2.training.data.sample_cache import (
    CachedSamples,
    CacheSettings,
    Tell,
    cached_samples,
    user_cache_directory,
)
from ds2.training.network.network import Network
from ds2.training.optimisation.averaging import WeightAverage
from ds2.training.optimisation.optimiser import Optimisers, build_optimisers
from ds2.training.optimisation.state import restore_optimisers
from ds2.training.run.beginning import alphabet_of_beginning
from ds2.training.run.checkpoint import Checkpoint, Progress
from ds2.training.run.progress import Display

BAD = "bad_utterances.txt"


@dataclass(frozen=True)
class Data:
    """The data of a run, checked and in order."""

    alphabet: Alphabet
    selection: Selection
    dev: list[Example]
    batches: Minibatches

    @property
    def epoch_s(self) -> float:
        """About the seconds of audio in an epoch: each epoch may draw other utterances."""
        return sum(example.duration_s * example.share for example in self.selection.examples)


@dataclass(frozen=True)
class Model:
    """The network and its optimisers, on their device, and the progress of the run."""

    network: Network
    optimisers: Optimisers
    progress: Progress
    average: WeightAverage | None = None


def load_data(
    config: RunConfig,
    run_dir: Path,
    alphabet: Alphabet | None,
    display: Display | None = None,
    device: torch.device | None = None,
) -> Data:
    """Read the manifests and check every utterance.

    alphabet: the alphabet of a resumed run; None: make it. device: the device that may keep
    samples. A file in the run directory lists the bad utterances. Raises InputError.
    """
    problems: list[str] = []
    utterances, shards = read_training_data(config.data.train, problems)
    alphabet = alphabet or first_alphabet(config, utterances)
    places = shards.places if shards else None
    shares = read_shares(config.data)
    selection = select_for_training(utterances, alphabet, config, problems, places, shares)
    if selection.bad:
        with atomic_write(run_dir / BAD) as file:
            file.writelines(line + "\n" for line in selection.bad)
    refuse_bad(selection, config.data.skip_bad)
    dev = select_for_evaluation(read_utterances(config.data.dev), alphabet, config)
    noise = [utterance.audio_path for utterance in read_utterances(config.data.noise)]
    augmenter = Augmenter(config.augmentation, NoiseBank(noise) if noise else None)
    urls = shards.urls if shards else None
    samples = None if shards else load_samples(config, selection.examples, display)
    tell = display.say if display else print
    resident = None
    if samples and device and config.data.augment_on == "device":
        resident = load_resident(samples, selection, config, device, tell)
    batches = minibatches(config, selection.examples, urls, augmenter, samples, resident)
    return Data(alphabet, selection, dev, batches)


def first_alphabet(config: RunConfig, utterances: Sequence[Utterance]) -> Alphabet:
    """The alphabet of a new run.

    If the run begins with another model and the settings name no file, the model's symbols stay,
    and the new ones of the training texts come after them. So a model that learns from a few texts
    still spells all others. Raises InputError.
    """
    alphabet = build_alphabet(config.data, utterances)
    source = config.training.init_from
    if source is None or config.data.alphabet_path is not None:
        return alphabet
    return alphabet_of_beginning(source).extended(alphabet)


def load_samples(
    config: RunConfig, examples: Sequence[Example], display: Display | None
) -> CachedSamples | None:
    """The examples' samples, decoded now if they are not yet; None without a cache."""
    data = config.data
    if not data.cache_gb:
        return None
    directory = data.cache_dir or user_cache_directory()
    settings = CacheSettings(directory, data.cache_gb, data.num_workers)
    utterances = [example.utterance for example in examples]
    durations_s = [example.duration_s for example in examples]
    if display is None:
        return cached_samples(utterances, durations_s, settings, print, lambda *_: None)
    return cached_samples(utterances, durations_s, settings, display.say, display.decoding)


def load_resident(
    samples: CachedSamples,
    selection: Selection,
    config: RunConfig,
    device: torch.device,
    tell: Tell,
) -> ResidentSamples | None:
    """All decoded samples on the device, if they fit; None if not."""
    num_utterances = len(selection.examples)
    needed, free = num_bytes(samples, num_utterances), free_bytes(device, config.data.resident_gb)
    if needed is None or not free:
        return None
    if needed > free:
        tell(
            f"decoded recordings need {needed / 1e9:.2f} GB, but their limit on {device} is "
            f"{free / 1e9:.2f} GB (data.resident_gb): ds2 copies each one there at each use"
        )
        return None
    tell(f"{selection.hours:.2f} h of decoded recordings, {needed / 1e9:.2f} GB, stay on {device}")
    return resident_samples(samples, num_utterances, device)


def build_model(
    config: RunConfig, num_labels: int, checkpoint: Checkpoint | None, device: torch.device
) -> Model:
    """The network and its optimisers, new or from the checkpoint."""
    torch.manual_seed(config.training.seed)
    network = Network(config.network, num_labels)
    if checkpoint:
        network.load_state_dict(checkpoint.network)
    network.to(device)
    freeze(network, config.training.freeze)
    optimisers = build_optimisers(network, config.training)
    if checkpoint:
        restore_optimisers(optimisers, network, checkpoint.optimiser)
    average = None
    if config.training.ema:
        earlier = checkpoint.average if checkpoint else {}
        average = WeightAverage(network, config.training.ema, earlier)
    progress = checkpoint.progress if checkpoint else Progress()
    return Model(network, optimisers, progress, average)


def freeze(network: Network, parts: Sequence[str]) -> None:
    """Keep parts of the network as they are, batch norm's running averages included.

    parts: names such as "conv" or "recurrent.0". Raises InputError for an unknown name.
    """
    modules = dict(network.named_modules())
    for part in parts:
        if part not in modules or not part:
            known = ", ".join(name for name, _ in network.named_children())
            raise InputError(
                f"training.freeze: there is no part {part!r} (parts: {known}; conv.0 and so on)"
            )
        modules[part].requires_grad_(False)
