"""From manifests to examples: texts become labels, and bad utterances are listed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

from ds2.audio import probe_audio
from ds2.errors import InputError
from ds2.manifest import Utterance, read_manifest
from ds2.model.features import FeatureConfig
from ds2.shards.reading import Place, Shards, is_shards, read_shards
from ds2.text.alphabet import (
    Alphabet,
    UnspellableError,
    alphabet_of,
    english_bigrams,
    visible,
)
from ds2.text.language import language_of_name
from ds2.text.normalise import folded_letters, normalise
from ds2.training.config import DataConfig, RunConfig
from ds2.training.network.config import NetworkConfig
from ds2.training.network.loss import frames_needed

MOST_FOLDED = 0.02
"""A larger share of English texts with a foreign letter (café) suggests another language."""


@dataclass(frozen=True)
class Example:
    """An utterance ready for training: its text in the alphabet's style, and as labels."""

    utterance: Utterance
    duration_s: float
    text: str
    labels: tuple[int, ...] | None  # None: the text cannot be spelt (only in evaluation)
    place: Place | None = None  # in a shard; None: in a recording of its own
    share: float = 1.0  # share of the epochs that use it


@dataclass(frozen=True)
class Selection:
    """The utterances that a run uses, the number it leaves out by length, and the bad ones.

    bad: "manifest.jsonl:12: what is wrong" for each utterance that ds2 cannot train on.
    """

    examples: list[Example]
    num_short: int
    num_long: int
    bad: list[str]

    @property
    def hours(self) -> float:
        """Hours of audio in the examples."""
        return sum(example.duration_s for example in self.examples) / 3600


def read_training_data(
    sources: Sequence[str], problems: list[str]
) -> tuple[list[Utterance], Shards | None]:
    """The utterances to train on, and the shards that hold them, if any.

    problems: receives the errors of single utterances. Raises InputError.
    """
    in_shards = [is_shards(source) for source in sources]
    if not any(in_shards):
        return read_utterances(sources, problems), None
    if not all(in_shards):
        raise InputError(
            f"data.train: {sources[in_shards.index(False)]} is a manifest, but others are shards: "
            "turn it into shards with `ds2 corpus shard`"
        )
    shards = read_shards(sources, problems)
    return shards.utterances, shards


def read_shares(data: DataConfig) -> list[float] | None:
    """The share of epochs of each utterance of the training manifests, by `data.train_shares`.

    None if every epoch holds all. Raises InputError for shards, which an epoch always reads whole.
    """
    if not data.train_shares:
        return None
    if any(map(is_shards, data.train)):
        raise InputError("data.train_shares: needs manifests, but data.train names shards")
    pairs = zip(data.train, data.train_shares, strict=True)
    return [share for source, share in pairs for _ in read_utterances([source], [])]


def read_utterances(
    manifests: Iterable[str | Path], problems: list[str] | None = None
) -> list[Utterance]:
    """The utterances of all manifests, in order.

    problems: receives the errors of single lines. Without it, the first error raises InputError.
    """
    manifests = list(manifests)
    for path in manifests:
        if is_shards(str(path)):
            raise InputError(f"{path}: only data.train takes shards: name a manifest here")
    on_error = None if problems is None else lambda error: problems.append(str(error))
    return [item for path in manifests for item in read_manifest(path, on_error=on_error)]


def build_alphabet(config: DataConfig, utterances: Sequence[Utterance]) -> Alphabet:
    """The alphabet of a run: from a file, English bigrams, or characters of the training texts.

    Raises InputError for a file that is no alphabet, or an alphabet of another language.
    """
    if config.alphabet_path is not None:
        return _alphabet_of_file(config.alphabet_path, config.language)
    if config.alphabet == "bigrams":
        return english_bigrams()
    texts = (styled_text(utterance, config) for utterance in utterances)
    return alphabet_of(texts, config.language, config.min_count)


def _alphabet_of_file(path: Path, language: str) -> Alphabet:
    try:
        alphabet = Alphabet.load(path)
    except InputError as error:
        raise InputError(f"data.alphabet: {error}") from None
    if alphabet.language != language:
        raise InputError(
            f"data.alphabet: {path}: is for language {alphabet.language}, but data.language is "
            f"{language}: leave data.language out, or make another alphabet"
        )
    return alphabet


def styled_text(utterance: Utterance, config: DataConfig) -> str:
    """The utterance's text in the style for training; "" if it has none."""
    text = utterance.text or ""
    return normalise(text, config.language) if config.normalise else text


def language_notes(utterances: Sequence[Utterance], config: DataConfig) -> Iterator[str]:
    """Lines for people, with signs that `data.language` is wrong."""
    ours = config.language
    named = Counter(language_of_name(utterance.language or "") for utterance in utterances)
    for other, count in named.most_common():
        # Mandarin's alphabet also spells English words among Chinese ones.
        if other not in (None, ours) and (ours, other) != ("zh", "en"):
            yield (
                f"{count} of {len(utterances)} utterances have language {other} in their manifests,"
                f' but data.language is "{ours}"'
            )
    if ours != "en" or not config.normalise:
        return
    folded = [letters for each in utterances if (letters := folded_letters(each.text or ""))]
    if len(folded) > MOST_FOLDED * len(utterances):
        shown = visible(set[str]().union(*folded))
        yield (
            f"{len(folded)} of {len(utterances)} texts have letters that ds2 replaced by a to z: "
            f'{shown}; if they are not English, set data.language, such as "de"'
        )


def select_for_training(
    utterances: Sequence[Utterance],
    alphabet: Alphabet,
    config: RunConfig,
    problems: Sequence[str] = (),
    places: Sequence[Place] | None = None,
    shares: Sequence[float] | None = None,
) -> Selection:
    """The examples to train on. The list of bad utterances begins with `problems`.

    problems: errors from reading the manifests; places: the utterances' places in shards, if any;
    shares: the share of the epochs that use each utterance, if not 1.
    """
    examples, num_short, num_long, bad = [], 0, 0, list(problems)
    along = zip(utterances, places or repeat(None), shares or repeat(1.0))  # noqa: B905  # endless
    for utterance, place, share in along:
        try:
            duration_s = duration_of(utterance) if place is None else utterance.duration_s or 0.0
            if duration_s < config.data.min_duration_s:
                num_short += 1
            elif duration_s > config.data.max_duration_s:
                num_long += 1
            else:
                example = _trainable(utterance, duration_s, alphabet, config)
                examples.append(replace(example, place=place, share=share))
        except InputError as error:
            bad.append(str(error))
    return Selection(examples, num_short, num_long, bad)


def select_for_evaluation(
    utterances: Sequence[Utterance], alphabet: Alphabet, config: RunConfig
) -> list[Example]:
    """Every utterance. A text that the network cannot spell or fit counts as the network's error.

    Raises InputError for an utterance without a reference text or recording.
    """
    examples = []
    for utterance in utterances:
        text = styled_text(utterance, config.data)
        if not text:
            raise InputError(f"{utterance.where}: has no text to compare with")
        labels = None if alphabet.unspellable(text) else tuple(alphabet.encode(text))
        examples.append(Example(utterance, duration_of(utterance), text, labels))
    return examples


def refuse_bad(selection: Selection, skip_bad: bool) -> None:
    """Raise InputError if there are bad utterances that the user has not asked to skip."""
    if not selection.examples:
        first = f" (the first: {selection.bad[0]})" if selection.bad else ""
        raise InputError(
            f"data.train: ds2 cannot train on any utterance: {len(selection.bad)} bad{first}, "
            f"{selection.num_short} too short, {selection.num_long} too long"
        )
    if selection.bad and not skip_bad:
        raise InputError(
            f"data.train: {len(selection.bad)} utterances cannot be used, the first: "
            f"{selection.bad[0]}; correct them, or leave them out with --set data.skip_bad=true"
        )


def duration_of(utterance: Utterance) -> float:
    """Seconds of audio, from the manifest or from the recording's header. Raises InputError."""
    if not utterance.audio_path.is_file():
        raise InputError(f"{utterance.where}: there is no recording {utterance.audio_path}")
    if utterance.duration_s is not None:
        return utterance.duration_s
    duration_s = probe_audio(utterance.audio_path).duration_s
    if duration_s is None:
        raise InputError(f"{utterance.where}: add a duration: the recording's header has none")
    return duration_s - utterance.offset_s


def _trainable(
    utterance: Utterance, duration_s: float, alphabet: Alphabet, config: RunConfig
) -> Example:
    text = styled_text(utterance, config.data)
    if not text:
        raise InputError(f"{utterance.where}: has no text")
    try:
        labels = tuple(alphabet.encode(text))
    except UnspellableError as error:
        raise InputError(f"{utterance.where}: {error} (in: {text})") from None
    available = output_frames(round(duration_s * 16_000), config.features, config.network)
    if frames_needed(labels) > available:
        raise InputError(
            f"{utterance.where}: {duration_s:g} s give {available} output frames, but its text "
            f"needs {frames_needed(labels)}: the text is wrong, or the time stride is too large"
        )
    return Example(utterance, duration_s, text, labels)


def output_frames(num_samples: int, features: FeatureConfig, network: NetworkConfig) -> int:
    """T': the number of output frames that the network gives for `num_samples` samples."""
    return network.output_lengths(features.num_frames(num_samples))
