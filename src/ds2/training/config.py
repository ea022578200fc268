"""The settings of a training run: one TOML file, relative paths, overrides from the command."""

import contextlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomli_w

from ds2.errors import InputError
from ds2.files import read_text
from ds2.model.features import FeatureConfig
from ds2.model.places import named_models
from ds2.settings import settings_from, settings_to_dict
from ds2.text.alphabet import Alphabet
from ds2.text.language import check_language
from ds2.training.augment import AugmentationConfig
from ds2.training.network.config import PRESETS, NetworkConfig

DEFAULT_PRESET = "small"
ALPHABETS = ("characters", "bigrams")
"""The values of `data.alphabet` that do not name a file."""
PATHS = (
    ("data", "train"),
    ("data", "dev"),
    ("data", "noise"),
    ("data", "alphabet"),
    ("data", "cache_dir"),
    ("training", "init_from"),
)
"""The keys that hold a path or a list of them, relative to the TOML file."""


@dataclass(frozen=True)
class DataConfig:
    """The training data, and how the trainer cuts it into minibatches."""

    train: tuple[str, ...]  # manifests, or shards: "s3://bucket/train-{00000..00099}.tar"
    dev: tuple[Path, ...]  # manifests on which the run measures its error rates
    # share of each manifest that an epoch uses, drawn anew for each epoch; if not set: all of it
    train_shares: tuple[float, ...] = ()
    noise: tuple[Path, ...] = ()  # manifests of noise to mix in; their text is not used
    language: str = "en"  # code of the language: en, zh, de, ...; an alphabet's file names its own
    # kind of alphabet: "characters" (of train, and of the model that init_from names), "bigrams"
    # (English), or a file from `ds2 corpus alphabet`
    alphabet: str = "characters"
    # the alphabet holds the characters that occur at least this often in train; not for English
    min_count: int = 1
    normalise: bool = True  # bring raw transcripts into the alphabet's style
    min_duration_s: float = 0.1  # training leaves out shorter utterances
    max_duration_s: float = 20.0  # training leaves out longer utterances; dev keeps all of them
    skip_bad: bool = False  # leave out utterances that ds2 cannot train on, instead of stopping
    num_workers: int = 2  # processes that load audio; 0 loads in the training process
    batch_seconds: float = 120.0  # most seconds of audio in a minibatch, padding included
    max_batch_size: int = 64  # most utterances in a minibatch
    # directory for decoded recordings; if not set: the user's cache directory
    cache_dir: Path | None = None
    cache_gb: float = 20.0  # most disk space for decoded recordings, in GB; 0 keeps none
    augment_on: Literal["cpu", "device"] = "cpu"  # where ds2 changes audio and computes features
    # with augment_on "device": memory on the device for decoded recordings, in GB; ds2 keeps
    # all recordings there or none; if not set: half of a GPU's free memory
    resident_gb: float | None = None
    shuffle_shards: int = 2  # number of shards that one loading process holds and mixes
    # for shards: [processes, workers of each] at the start of the run; ds2 sets it, and a resumed
    # run reads it to keep the order of its utterances
    shard_streams: tuple[int, int] | None = None

    @property
    def alphabet_path(self) -> Path | None:
        """The alphabet's file, if it has one."""
        return None if self.alphabet in ALPHABETS else Path(self.alphabet)

    def __post_init__(self) -> None:
        for name in ("train", "dev"):
            if not getattr(self, name):
                raise ValueError(f"{name}: name at least one manifest")
        if self.train_shares and len(self.train_shares) != len(self.train):
            raise ValueError(
                f"train_shares: give one for each manifest: {len(self.train)}, "
                f"not {len(self.train_shares)}"
            )
        if not all(0 < share <= 1 for share in self.train_shares):
            raise ValueError("train_shares: each must be above 0 and at most 1")
        check_language(self.language)
        if self.language != "en" and self.alphabet == "bigrams":
            raise ValueError(f"alphabet: bigrams are for English, not for {self.language}")
        for name in ("min_count", "max_batch_size", "shuffle_shards"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, not {getattr(self, name)}")
        if self.num_workers < 0:
            raise ValueError(f"num_workers: must be at least 0, not {self.num_workers}")
        if not 0 <= self.min_duration_s < self.max_duration_s < math.inf:
            raise ValueError("max_duration_s: must be finite and above min_duration_s (0 or more)")
        if self.shard_streams is not None and min(self.shard_streams) < 1:
            raise ValueError("shard_streams: must be two numbers of at least 1")
        if not 0 <= self.cache_gb < math.inf:
            raise ValueError(f"cache_gb: must be 0 or more, not {self.cache_gb}")
        if self.resident_gb is not None and not 0 <= self.resident_gb < math.inf:
            raise ValueError(f"resident_gb: must be 0 or more, not {self.resident_gb}")
        if not 0 < self.batch_seconds < math.inf:
            raise ValueError(f"batch_seconds: must be above 0, not {self.batch_seconds}")


@dataclass(frozen=True)
class TrainingConfig:
    """How the trainer fits the network. For the paper's recipe, see `optimiser`."""

    seed: int = 0  # all random numbers of the run follow from it
    epochs: int = 20  # passes over the training utterances
    # the rule that moves the weights; the paper uses "sgd" with schedule "annealed" (section 5)
    optimiser: Literal["adamw", "muon", "soap", "sgd"] = "adamw"
    # how the learning rate changes during the run
    schedule: Literal["annealed", "cosine", "inverse", "constant"] = "cosine"
    # highest rate of the schedule; the paper uses 1e-4 to 6e-4 with sgd
    learning_rate: float = 1e-3
    annealing: float = 1.2  # schedule "annealed" divides the rate by this after each epoch
    warmup_steps: int = 200  # the rate rises linearly over these first steps
    hours: float | None = None  # hours of audio after which the run ends, in place of epochs
    decay_hours: float = 0.0  # the rate falls to 0 over this last part of `hours`
    # how the rate falls over `decay_hours`; "sqrt" is 1 - sqrt(share done), steepest at first
    decay_shape: Literal["linear", "sqrt"] = "linear"
    layer_decay: float = 1.0  # each layer's rate is this share of the rate of the layer above it
    momentum: float = 0.99  # Nesterov momentum of sgd
    weight_decay: float = 0.01  # weight decay of every optimiser except sgd, on matrices only
    # highest rate of the matrices that muon moves; it follows the schedule
    muon_learning_rate: float = 0.02
    muon_iterations: int = 5  # Newton-Schulz iterations per step; 3 are cheaper and less exact
    soap_every: int = 10  # steps between renewals of soap's bases
    # average the weights over the steps: share of the average that a step keeps, such as 0.999
    ema: float = 0.0
    max_gradient_norm: float = 400.0  # the trainer scales a longer gradient down to this
    accumulate_batches: int = 1  # minibatches per step of the optimiser
    sortagrad: bool = True  # shortest utterances first in the first epoch
    bf16: bool = False  # matrix products in bfloat16
    device: str = "auto"  # the device that trains: "auto", "cpu", "cuda", "cuda:1"
    # torch's threads on a CPU; the last bits of the result depend on their number
    num_threads: int | None = None
    # steps between evaluations, in addition to the evaluation after each epoch
    dev_every: int | None = None
    checkpoint_every_s: float = 600.0  # seconds between checkpoints
    log_every: int = 20  # steps between lines of progress in the journal and in a plain log
    average_last: int = 0  # average the weights of this many last epochs at the end; 0: none
    # run, checkpoint, bundle or name of a model (`ds2 models`) that gives the first weights
    init_from: Path | None = None
    # parts of the network that training does not change: "conv", "recurrent.0"
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_lowest(1, "epochs", "accumulate_batches", "log_every", "num_threads")
        self._check_lowest(1, "dev_every")
        self._check_lowest(0, "seed", "warmup_steps", "weight_decay", "average_last")
        self._check_lowest(1, "muon_iterations", "soap_every")
        self._check_lowest(0, "checkpoint_every_s", "decay_hours")
        for name in ("learning_rate", "max_gradient_norm", "muon_learning_rate", "hours"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: must be above 0, not {getattr(self, name)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: must be at least 0 and below 1, not {self.momentum}")
        if not 1 <= self.annealing < math.inf:
            raise ValueError(f"annealing: must be at least 1, not {self.annealing}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema: must be at least 0 and below 1, not {self.ema}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay: must be above 0 and at most 1, not {self.layer_decay}")
        if self.decay_hours and (self.hours is None or self.decay_hours > self.hours):
            raise ValueError("decay_hours: set hours as well, to at least the same number")
        if self.ema and self.average_last:
            raise ValueError("average_last: ema averages already: set one of the two to 0")
        if self.average_last > self.epochs:
            raise ValueError(f"average_last: there are only {self.epochs} epochs")

    def _check_lowest(self, lowest: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and not lowest <= value < math.inf:
                raise ValueError(f"{name}: must be at least {lowest}, not {value}")


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run, in parts. Checkpoints hold the resolved settings."""

    data: DataConfig
    features: FeatureConfig = field(default_factory=FeatureConfig)
    network: NetworkConfig = PRESETS[DEFAULT_PRESET]
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if self.network.num_bins != self.features.num_bins:
            raise ValueError(
                f"network.num_bins: {self.network.num_bins}, "
                f"but the features have {self.features.num_bins} bins"
            )


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The settings in a TOML file, with overrides such as "training.epochs=5".

    Raises InputError that names the file and the key.
    """
    try:
        data = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    _anchor_paths(data, path.parent.resolve())
    for override in overrides:
        _apply_override(data, override)
    _take_language(data, str(path))
    return config_from_dict(data, str(path))


def override_config(config: RunConfig, overrides: Sequence[str], where: str) -> RunConfig:
    """The settings with overrides such as "training.epochs=5". Raises InputError."""
    data = config_to_dict(config)
    for override in overrides:
        _apply_override(data, override)
    return config_from_dict(data, where)


def _take_language(data: dict[str, Any], where: str) -> None:
    """Take the language of the alphabet's file if the settings name a file and no language."""
    section = data.get("data")
    if not isinstance(section, dict) or "language" in section:
        return
    name = section.get("alphabet")
    if isinstance(name, str) and name not in ALPHABETS:
        try:
            section["language"] = Alphabet.load(Path(name)).language
        except InputError as error:
            raise InputError(f"{where}: data.alphabet: {error}") from None


def config_from_dict(data: Mapping[str, Any], where: str) -> RunConfig:
    """The settings from plain data, such as `config_to_dict` gives. Raises InputError."""
    data = {**data, "network": _with_preset(data.get("network", {}), where)}
    with contextlib.suppress(InputError):  # the last line raises it again, with the key's name
        features = settings_from(FeatureConfig, _table(data, "features", where), where)
        data["network"].setdefault("num_bins", features.num_bins)
    return settings_from(RunConfig, data, where)


def config_to_dict(config: RunConfig) -> dict[str, Any]:
    """Plain data, fit for JSON, that gives the same settings back."""
    return settings_to_dict(config)


def config_to_toml(config: RunConfig) -> str:
    """TOML text that gives the same settings back. It leaves out keys without a value."""
    sections = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in config_to_dict(config).items()
    }
    head = "# All settings of this run. Paths are absolute.\n\n"
    return head + tomli_w.dumps(sections)


def _table(data: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    table = data.get(name, {})
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: {name}: must be a table of settings, not {table!r}")
    return table


def _with_preset(table: Any, where: str) -> dict[str, Any]:
    """The network's settings: the preset that the table names, changed by the table's other keys.

    A bidirectional network has no lookahead. If the table asks for both directions, the preset's
    lookahead becomes 0.
    """
    given = dict(_table({"network": table}, "network", where))
    preset = given.pop("preset", DEFAULT_PRESET)
    if preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise InputError(f"{where}: network.preset: must be one of {known}, not {preset!r}")
    settings = settings_to_dict(PRESETS[preset])
    del settings["num_bins"]  # follows from the features
    if given.get("bidirectional") is True:
        settings["lookahead"] = 0
    return {**settings, **given}


def _anchor_paths(data: Mapping[str, Any], directory: Path) -> None:
    for section, key in PATHS:
        table = data.get(section)
        if not isinstance(table, dict):
            continue  # it is absent, or the settings will refuse it
        value = table.get(key)
        if key == "alphabet":
            if isinstance(value, str) and value not in ALPHABETS:
                table[key] = _anchored(value, directory)
            continue
        if isinstance(value, str) and section == "data" and key != "cache_dir":
            value = [value]  # one manifest is a list of one
        if isinstance(value, str) and key == "init_from":
            table[key] = _beginning(value, directory)
        elif isinstance(value, str):
            table[key] = _anchored(value, directory)
        elif isinstance(value, list):
            table[key] = [_anchored(v, directory) if isinstance(v, str) else v for v in value]


def _beginning(name: str, directory: Path) -> str:
    """The path that `training.init_from` means. A model's name counts if no such file is there."""
    path = directory / name
    if path.exists() or len(Path(name).parts) != 1:
        return str(path)
    return str(dict(named_models()).get(name, path).absolute())


def _anchored(path: str, directory: Path) -> str:
    return path if "://" in path else str(directory / path)


def _apply_override(data: dict[str, Any], override: str) -> None:
    """Set one key. Its value is TOML; a bare word counts as text."""
    name, separator, text = override.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not separator or len(keys) != 2:
        raise InputError(f"--set {override}: write it as training.epochs=5")
    try:
        parsed = tomllib.loads(f"value = {text}")
        value = parsed["value"] if len(parsed) == 1 else text
    except tomllib.TOMLDecodeError:
        value = text.strip()
    section = data.setdefault(keys[0], {})
    if not isinstance(section, dict):
        raise InputError(f"--set {override}: {keys[0]} is not a table of settings")
    section[keys[1]] = value
    if tuple(keys) in PATHS:  # the user typed it, so it is relative to the current directory
        _anchor_paths({keys[0]: section}, Path.cwd())
