"""The bundle: a directory with an exported model and everything that its use needs."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ds2.ctc.settings import BeamSettings
from ds2.errors import InputError, did_you_mean
from ds2.files import atomic_write, make_neighbour, sync_directory
from ds2.model.computing import Arithmetic
from ds2.model.features import FeatureConfig
from ds2.model.front_end import FrontEnd, front_end_from
from ds2.model.places import FACTS, model_places, named_models
from ds2.ngram.binary import HEADER_BYTES
from ds2.settings import settings_from, settings_to_dict
from ds2.text.alphabet import Alphabet

FORMAT_VERSION = 1
MODEL = "model.onnx"
LM = "lm.bin"
NETWORK = "network.safetensors"
"""The weights before the export, with batch norm: a checkpoint from which training may begin."""
ADVICE = "export it again with `ds2 export`, or copy the whole directory again"
LM_ADVICE = "add it again with `ds2 bundle add-lm`, or copy the whole directory again"


@dataclass(frozen=True)
class ModelFacts:
    """The facts of the graph in model.onnx that a caller must know."""

    streaming: bool  # a step with state, or a graph of whole utterances
    time_stride: int  # spectrogram frames per output frame
    delay: int  # outputs of a stream's start that stand for frames before its first
    right_context_frames: int  # future frames that an output of a streaming model needs
    num_parameters: int
    weights: str  # how the graph stores them: "float32", "float16", "int8"
    description: str = ""  # for people: "2 convolutions, 3 forward GRU layers of 512, ..."
    edge_frames: int = 0  # frames at an utterance's end that only the last output needs
    arithmetic: Arithmetic = "auto"  # what the model computes in if its user asks for nothing

    def __post_init__(self) -> None:
        if self.time_stride < 1:
            raise ValueError(f"time_stride: must be at least 1, not {self.time_stride}")
        for name in ("delay", "right_context_frames", "edge_frames"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be at least 0, not {getattr(self, name)}")

    def num_outputs(self, num_frames: int) -> int:
        """The number of outputs of an utterance: one for each time stride that begins in it."""
        return -(-max(0, num_frames - self.edge_frames) // self.time_stride)


@dataclass(frozen=True)
class LmFacts:
    """The identity of lm.bin. Its header holds checksums of the rest, and is quick to read."""

    num_bytes: int
    header_sha256: str  # of its first HEADER_BYTES; loading the bundle compares it
    sha256: str  # of the whole file; `verify_lm` compares it


@dataclass(frozen=True)
class _LanguageModel:
    """The facts of a language model in bundle.json, which holds both or neither."""

    lm: LmFacts
    decoding: BeamSettings


@dataclass(frozen=True)
class _ModelSettings:
    """An object around the model's facts, so that messages name their keys."""

    model: ModelFacts


@dataclass(frozen=True)
class Bundle:
    """The facts of a bundle, verified; `model_path` is the file of the graph."""

    path: Path
    alphabet: Alphabet
    features: FrontEnd
    model: ModelFacts
    training: Mapping[str, Any] = field(default_factory=dict)  # for people: data, hours, WER
    licence: str = "unknown"
    lm: LmFacts | None = None
    decoding: BeamSettings | None = None  # how to search with the language model
    network_sha256: str | None = None  # of network.safetensors

    @property
    def language(self) -> str:
        return self.alphabet.language

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL

    @property
    def lm_path(self) -> Path | None:
        """The language model's file, if the bundle has one."""
        return self.path / LM if self.lm else None

    @property
    def network_path(self) -> Path | None:
        """The checkpoint that belongs to the bundle, if somebody kept it there."""
        path = self.path / NETWORK
        return path if self.network_sha256 and path.is_file() else None

    @property
    def num_bytes(self) -> int:
        """The size of its files, without network.safetensors, which recognition does not need."""
        files = (path for path in self.path.iterdir() if path.is_file() and path.name != NETWORK)
        return sum(path.stat().st_size for path in files)

    @property
    def output_stride_s(self) -> float:
        """Seconds from one output frame to the next."""
        stride_s = self.features.stride / self.features.sample_rate_hz
        return self.model.time_stride * stride_s

    @property
    def latency_s(self) -> float | None:
        """Algorithmic latency: the audio after a moment that its output needs, without chunks.

        None for a model that needs the whole utterance.
        """
        if not self.model.streaming:
            return None
        frames_s = self.model.right_context_frames * self.features.stride
        return (frames_s + self.features.window) / self.features.sample_rate_hz


def write_bundle(bundle: Bundle, model: bytes, network: bytes | None = None) -> Bundle:
    """Write the directory `bundle.path` whole or not at all; other files in it stay.

    network: the contents of network.safetensors; None: the bundle has none. An old one goes.

    A language model in the directory stays the bundle's, with its settings, if it fits the
    alphabet. Otherwise its file stays and is no part of the bundle. `bundle.lm` does not matter.
    Returns the bundle as it is written.
    Raises InputError if the place holds something else, or cannot hold a bundle.
    """
    check_place(bundle.path)
    target = bundle.path.resolve()  # a link stays one
    kept = _fitting_lm(target, bundle.alphabet)
    lm, decoding = (kept.lm, kept.decoding) if kept else (None, None)
    digest = None if network is None else hashlib.sha256(network).hexdigest()
    bundle = replace(bundle, lm=lm, decoding=decoding, network_sha256=digest)
    temporary = make_neighbour(target)
    rights = temporary.stat().st_mode
    try:
        if target.exists():  # a model card, say
            ours = shutil.ignore_patterns(FACTS, MODEL, NETWORK)
            shutil.copytree(
                target,
                temporary,
                symlinks=True,
                ignore=ours,
                copy_function=_link,
                dirs_exist_ok=True,
            )
        for name, contents in ((MODEL, model), (NETWORK, network)):
            if contents is not None:
                with atomic_write(temporary / name, "wb") as file:
                    file.write(contents)
        write_facts(temporary, _facts(bundle, model))
        temporary.chmod(rights)  # not those of what is copied
        put_in_place(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return bundle


def write_facts(directory: Path, facts: Mapping[str, Any]) -> None:
    """Write bundle.json."""
    with atomic_write(directory / FACTS) as file:
        json.dump(facts, file, ensure_ascii=False, indent=2)
        file.write("\n")


def _link(source: str, target: str) -> None:
    """Give a file a second name, because its first one goes soon. A large file needs no copy."""
    try:
        os.link(source, target)
    except OSError:  # not everywhere
        shutil.copy2(source, target)


def _fitting_lm(target: Path, alphabet: Alphabet) -> _LanguageModel | None:
    """The language model of the bundle at `target`, if it is whole and fits the alphabet."""
    try:
        there = _bundle(target, read_facts(target))
        _verify_lm_header(there)
    except InputError:
        return None
    fits = (there.language, there.alphabet.word_unit) == (alphabet.language, alphabet.word_unit)
    if not (fits and there.lm and there.decoding):
        return None
    return _LanguageModel(there.lm, fitting_decoding(there.decoding, there.alphabet, alphabet))


def fitting_decoding(decoding: BeamSettings, old: Alphabet, new: Alphabet) -> BeamSettings:
    """The settings of a bundle with the alphabet `old`, for a bundle with the alphabet `new`.

    Labels that only `new` has get the lowest prior. If it lacks labels of `old`, or has labels of
    another kind, the settings lose their priors.
    """
    if old == new or not decoding.label_priors:
        return decoding
    if old.kind != new.kind or not set(old.symbols) <= set(new.symbols):
        return replace(decoding, prior_weight=0.0, label_priors=())
    blank, *others = decoding.label_priors
    priors = dict(zip(old.symbols, others, strict=True))
    lowest = min(others)
    fitted = (blank, *(priors.get(symbol, lowest) for symbol in new.symbols))
    return replace(decoding, label_priors=fitted)


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


def put_in_place(temporary: Path, target: Path) -> None:
    """Give a directory beside `target` the name `target`; a bundle of that name goes."""
    if not target.exists():
        temporary.rename(target)
    else:  # directories cannot be exchanged everywhere: two renames, nothing lost between them
        old = target.with_name(f".{target.name}.old-{os.getpid()}")
        target.rename(old)
        temporary.rename(target)
        shutil.rmtree(old)
    sync_directory(target.parent)


def _facts(bundle: Bundle, model: bytes) -> dict[str, Any]:
    digests = {MODEL: hashlib.sha256(model).hexdigest()}
    if bundle.network_sha256:
        digests[NETWORK] = bundle.network_sha256
    facts = {
        "format_version": FORMAT_VERSION,
        "language": bundle.language,
        "alphabet": bundle.alphabet.to_dict(),
        "features": settings_to_dict(bundle.features),
        "model": settings_to_dict(bundle.model),
        "latency_s": bundle.latency_s,
        "training": dict(bundle.training),
        "licence": bundle.licence,
        "sha256": digests,
    }
    return with_lm(facts, bundle.lm, bundle.decoding)


def with_lm(
    facts: Mapping[str, Any], lm: LmFacts | None, decoding: BeamSettings | None
) -> dict[str, Any]:
    """The data of bundle.json with this language model in place of its own; None: without one."""
    given = {"lm": lm, "decoding": decoding}
    kept = {key: value for key, value in facts.items() if key not in given}
    return kept | {key: settings_to_dict(value) for key, value in given.items() if value}


def load_bundle(path: str | Path, *, verify_lm_header: bool = True) -> Bundle:
    """Read and verify a bundle. Raises InputError that names what is wrong.

    It reads all of model.onnx, and the header of lm.bin.
    verify_lm_header: False for a bundle whose language model the caller replaces.
    """
    path = Path(path)
    facts = read_facts(path)
    bundle = _bundle(path, facts)
    _verify_model(bundle, facts.get("sha256"))
    if verify_lm_header:
        _verify_lm_header(bundle)
    return bundle


def read_facts(path: Path) -> dict[str, Any]:
    """The data of bundle.json. Only the version is checked. Raises InputError."""
    where = path / FACTS
    if not path.exists():
        raise InputError(f"{path}: no such directory: a model is a bundle made by `ds2 export`")
    if not where.is_file():
        raise InputError(f"{path}: is no bundle: it holds no {FACTS}")
    try:
        facts: dict[str, Any] = json.loads(where.read_bytes())
    except (ValueError, OSError) as error:
        raise InputError(f"{where}: cannot be read: {error}: {ADVICE}") from None
    if not isinstance(facts, dict) or "format_version" not in facts:
        raise InputError(f"{where}: format_version is missing: {ADVICE}")
    if facts["format_version"] != FORMAT_VERSION:
        version = facts["format_version"]
        raise InputError(f"{where}: format version {version}; this ds2 reads {FORMAT_VERSION}")
    return facts


def _bundle(path: Path, facts: Mapping[str, Any]) -> Bundle:
    """The bundle that bundle.json describes. The other files are not read."""
    where = str(path / FACTS)
    for key in ("alphabet", "features", "model"):
        if not isinstance(facts.get(key), dict):
            raise InputError(f"{where}: {key} is missing: {ADVICE}")
    if not isinstance(facts.get("training") or {}, dict):
        raise InputError(f"{where}: training: must hold names and values: {ADVICE}")
    try:
        alphabet = Alphabet.from_dict(facts["alphabet"])
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    features = front_end_from(facts["features"], where)
    model = settings_from(_ModelSettings, {"model": facts["model"]}, where).model
    if model.streaming and not features.causal:
        if isinstance(features, FeatureConfig):
            raise InputError(f'{where}: features.normalisation: a streaming model needs "causal"')
        raise InputError(
            f"{where}: features.kind: a streaming model cannot take these, which need the whole "
            f"clip: {features.summary}"
        )
    digests = facts.get("sha256")
    given = {key: facts[key] for key in ("lm", "decoding") if facts.get(key) is not None}
    pair = settings_from(_LanguageModel, given, where) if given else None
    if pair and len(pair.decoding.label_priors) not in (0, len(alphabet)):
        num_priors = len(pair.decoding.label_priors)
        raise InputError(
            f"{where}: decoding.label_priors: {num_priors:,} numbers for {len(alphabet):,} labels: "
            f"{ADVICE}"
        )
    return Bundle(
        path=path,
        alphabet=alphabet,
        features=features,
        model=model,
        training=facts.get("training") or {},
        licence=str(facts.get("licence", "unknown")),
        lm=pair.lm if pair else None,
        decoding=pair.decoding if pair else None,
        network_sha256=digests.get(NETWORK) if isinstance(digests, dict) else None,
    )


def _verify_model(bundle: Bundle, digests: Any) -> None:
    if not bundle.model_path.is_file():
        raise InputError(f"{bundle.model_path}: is missing: {ADVICE}")
    digest = digests.get(MODEL) if isinstance(digests, dict) else None
    if digest is None:
        raise InputError(f"{bundle.path / FACTS}: sha256.{MODEL} is missing: {ADVICE}")
    if _sha256(bundle.model_path) != digest:
        raise InputError(f"{bundle.model_path}: damaged: it is not what {FACTS} tells: {ADVICE}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify_lm_header(bundle: Bundle) -> None:
    """Raise InputError unless lm.bin has the length and the header that bundle.json names."""
    path, facts = bundle.lm_path, bundle.lm
    if path is None or facts is None:
        return
    if not path.is_file():
        raise InputError(f"{path}: is missing: {LM_ADVICE}")
    with path.open("rb") as file:
        header = hashlib.sha256(file.read(HEADER_BYTES)).hexdigest()
    if path.stat().st_size != facts.num_bytes or header != facts.header_sha256:
        raise InputError(f"{path}: is not the one that {FACTS} tells of: {LM_ADVICE}")


def verify_network(bundle: Bundle) -> None:
    """Raise InputError if network.safetensors is there, but is not the one of this bundle."""
    path = bundle.network_path
    if path and _sha256(path) != bundle.network_sha256:
        raise InputError(
            f"{path}: is not what {FACTS} tells: remove it, or export again with --with-network"
        )


def verify_lm(bundle: Bundle) -> None:
    """Read all of lm.bin, if there is one. Raises InputError if it is not the original."""
    if bundle.lm_path and bundle.lm and _sha256(bundle.lm_path) != bundle.lm.sha256:
        raise InputError(f"{bundle.lm_path}: damaged: it is not what {FACTS} tells: {LM_ADVICE}")


def find_bundle(name: str | Path) -> Path:
    """The bundle's directory that a user means.

    A path of a bundle is itself. A bare name such as "en" is looked for in $DS2_MODELS, in
    ./models, among the models that the user has got, and among those that come with ds2.
    Raises InputError.
    """
    path = Path(name)
    if (path / FACTS).is_file() or len(path.parts) != 1:
        return path
    places = model_places()
    for place in places:
        if (place / name / FACTS).is_file():
            return place / name
    if path.exists():  # loading it will say what it lacks
        return path
    looked = ", ".join(str(place) for place in places)
    hint = did_you_mean(str(name), (known for known, _ in named_models()))
    raise InputError(
        f"{name}: no such directory, and no bundle of that name in {looked}"
        f"{hint or ': `ds2 models` lists what there is'}"
    )
