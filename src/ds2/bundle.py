"""The bundle: a directory with an exported model and all that is needed to use it."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ds2.alphabet import Alphabet
from ds2.atomic import atomic_write, sync_directory
from ds2.errors import InputError
from ds2.features import FeatureConfig
from ds2.settings import settings_from, settings_to_dict

FORMAT_VERSION = 1
FACTS = "bundle.json"
MODEL = "model.onnx"
ADVICE = "export it again with `ds2 export`, or copy the whole directory again"


@dataclass(frozen=True)
class ModelFacts:
    """What a caller must know of the graph in model.onnx."""

    streaming: bool  # a step with state, or a graph of whole utterances
    time_stride: int  # spectrogram frames per output frame
    delay: int  # outputs of a stream's start that stand for frames before its first
    right_context_frames: int  # of future that an output needs; more: the whole utterance
    num_parameters: int
    weights: str  # how they are stored: "float32", "float16", "int8"
    description: str = ""  # for people: "2 convolutions, 3 forward GRU layers of 512, ..."

    def __post_init__(self) -> None:
        if self.time_stride < 1:
            raise ValueError(f"time_stride: must be at least 1, not {self.time_stride}")
        for name in ("delay", "right_context_frames"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be at least 0, not {getattr(self, name)}")


@dataclass(frozen=True)
class _Settings:
    """The parts of bundle.json that are read strictly; an object, so that messages name them."""

    features: FeatureConfig
    model: ModelFacts

    def __post_init__(self) -> None:
        if self.model.streaming and not self.features.causal:
            raise ValueError('features.normalisation: a streaming model needs "causal"')


@dataclass(frozen=True)
class Bundle:
    """A bundle's facts, read and verified; `model_path` is the graph."""

    path: Path
    alphabet: Alphabet
    features: FeatureConfig
    model: ModelFacts
    training: Mapping[str, Any] = field(default_factory=dict)  # for people: data, hours, WER
    licence: str = "unknown"

    @property
    def language(self) -> str:
        return self.alphabet.language

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL

    @property
    def output_stride_s(self) -> float:
        """Seconds from one output frame to the next."""
        stride_s = self.features.stride / self.features.sample_rate_hz
        return self.model.time_stride * stride_s

    @property
    def latency_s(self) -> float | None:
        """Algorithmic latency: audio after a moment that its output needs, chunks not counted.

        None for a model that needs the whole utterance.
        """
        if not self.model.streaming:
            return None
        frames_s = self.model.right_context_frames * self.features.stride
        return (frames_s + self.features.window) / self.features.sample_rate_hz


def write_bundle(bundle: Bundle, model: bytes) -> None:
    """Write the directory `bundle.path` whole or not at all; other files in it are kept.

    Raises InputError if something that is no bundle is in its place, or nothing can be there.
    """
    check_place(bundle.path)
    target = bundle.path.resolve()  # a link stays one
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        if target.exists():  # a model card, say
            ours = shutil.ignore_patterns(FACTS, MODEL)
            shutil.copytree(target, temporary, symlinks=True, ignore=ours, dirs_exist_ok=True)
        with atomic_write(temporary / MODEL, "wb") as file:
            file.write(model)
        with atomic_write(temporary / FACTS) as file:
            json.dump(_facts(bundle, model), file, ensure_ascii=False, indent=2)
            file.write("\n")
        temporary.chmod(0o755)
        _put_in_place(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def check_place(path: Path) -> None:
    """Raise InputError if a bundle cannot be written there; makes the directories above it."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file: name a directory for the bundle")
    if path.exists() and not (path / FACTS).is_file() and any(path.iterdir()):
        raise InputError(f"{path}: exists and is no bundle: name another directory")
    parent = path.resolve().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made: {_reason(error)}") from None
    if not os.access(parent, os.W_OK):
        raise InputError(f"{path}: cannot be made: {parent} may not be written to")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _put_in_place(temporary: Path, target: Path) -> None:
    if not target.exists():
        temporary.rename(target)
    else:  # directories cannot be exchanged everywhere: two renames, nothing lost between them
        old = target.with_name(f".{target.name}.old-{os.getpid()}")
        target.rename(old)
        temporary.rename(target)
        shutil.rmtree(old)
    sync_directory(target.parent)


def _facts(bundle: Bundle, model: bytes) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "language": bundle.language,
        "alphabet": bundle.alphabet.to_dict(),
        "features": settings_to_dict(bundle.features),
        "model": settings_to_dict(bundle.model),
        "latency_s": bundle.latency_s,
        "training": dict(bundle.training),
        "licence": bundle.licence,
        "sha256": {MODEL: hashlib.sha256(model).hexdigest()},
    }


def load_bundle(path: str | Path) -> Bundle:
    """Read and verify a bundle. Raises InputError that names what is wrong."""
    path = Path(path)
    where = path / FACTS
    if not path.exists():
        raise InputError(f"{path}: no such directory: a model is a bundle made by `ds2 export`")
    if not where.is_file():
        raise InputError(f"{path}: is no bundle: it holds no {FACTS}")
    try:
        facts = json.loads(where.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{where}: cannot be read: {error}: {ADVICE}") from None
    if not isinstance(facts, dict) or "format_version" not in facts:
        raise InputError(f"{where}: format_version is missing: {ADVICE}")
    if facts["format_version"] != FORMAT_VERSION:
        version = facts["format_version"]
        raise InputError(f"{where}: format version {version}; this ds2 reads {FORMAT_VERSION}")
    bundle = _bundle(path, facts, str(where))
    _verify_model(bundle, facts.get("sha256"), where)
    return bundle


def _bundle(path: Path, facts: Mapping[str, Any], where: str) -> Bundle:
    for key in ("alphabet", "features", "model"):
        if not isinstance(facts.get(key), dict):
            raise InputError(f"{where}: {key} is missing: {ADVICE}")
    if not isinstance(facts.get("training") or {}, dict):
        raise InputError(f"{where}: training: must hold names and values: {ADVICE}")
    try:
        alphabet = Alphabet.from_dict(facts["alphabet"])
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    given = {key: facts[key] for key in ("features", "model")}
    settings = settings_from(_Settings, given, where)
    return Bundle(
        path=path,
        alphabet=alphabet,
        features=settings.features,
        model=settings.model,
        training=facts.get("training") or {},
        licence=str(facts.get("licence", "unknown")),
    )


def _verify_model(bundle: Bundle, digests: Any, where: Path) -> None:
    if not bundle.model_path.is_file():
        raise InputError(f"{bundle.model_path}: is missing: {ADVICE}")
    digest = digests.get(MODEL) if isinstance(digests, dict) else None
    if digest is None:
        raise InputError(f"{where}: sha256.{MODEL} is missing: {ADVICE}")
    with bundle.model_path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise InputError(f"{bundle.model_path}: damaged: it is not what {FACTS} tells: {ADVICE}")


def find_bundle(name: str | Path) -> Path:
    """The bundle's directory that a user means.

    A path that exists is itself. A bare name such as "en" is looked for in $DS2_MODELS, in
    ./models and beside the source tree. Raises InputError.
    """
    path = Path(name)
    if path.exists() or len(path.parts) != 1:
        return path
    places = [Path("models"), Path(__file__).parents[2] / "models"]
    if os.environ.get("DS2_MODELS"):
        places.insert(0, Path(os.environ["DS2_MODELS"]))
    for place in places:
        if (place / name / FACTS).is_file():
            return place / name
    looked = ", ".join(str(place) for place in places)
    raise InputError(f"{name}: no such directory, and no bundle of that name in {looked}")
