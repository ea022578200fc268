"""Finds which words of a rough text were said in a long recording, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2.ctc.alignment.approximate import ApproximateAligner, Approximation, Tolerance
from ds2.errors import InputError
from ds2.manifest import Utterance
from ds2.manifest.utterance import json_object, numbered_lines
from ds2.recognition.aligner import Aligner
from ds2.recognition.segments import words_of
from ds2.text.alphabet import Alphabet
from ds2.text.normalise import normalise
from ds2.text.spacing import is_spaced, split_words

SPACE = " "


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the text that was said. Times are from the start of the recording."""

    text: str
    start_s: float
    end_s: float
    confidence: float
    log_prob: float  # natural logarithm, of its frames and the silence after it


@dataclass(frozen=True, slots=True)
class ExtraSpeech:
    """Speech that the text lacks."""

    start_s: float
    end_s: float
    num_labels: int  # frames in which the model reads something


@dataclass(frozen=True)
class AlignedRecording:
    """A recording with the words of its text, said or not."""

    utterance: Utterance  # the recording, or the aligned part of it
    duration_s: float
    language: str
    words: tuple[SpokenWord | str, ...]  # nobody said a plain string
    extra: tuple[ExtraSpeech, ...]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, without the facts about the utterance."""
        return {
            "duration": round(self.duration_s, 3),
            "language": self.language,
            "words": [_word_fields(word) for word in self.words],
            "extra": [
                {"start": item.start_s, "end": item.end_s, "labels": item.num_labels}
                for item in self.extra
            ],
        }


def _word_fields(word: SpokenWord | str) -> dict[str, Any]:
    if isinstance(word, str):
        return {"word": word}
    return {
        "word": word.text,
        "start": word.start_s,
        "end": word.end_s,
        "confidence": round(word.confidence, 4),
        "log_prob": round(word.log_prob, 3),
    }


def align_recording(
    aligner: Aligner, utterance: Utterance, tolerance: Tolerance, *, raw_text: bool = False
) -> AlignedRecording:
    """Find the words of an utterance's text in its audio of any length, in bounded memory.

    Words that the alphabet cannot spell count as not said. raw_text: do not normalise the text.
    Raises InputError if there is no text or if the recording is unreadable.
    """
    language = aligner.bundle.language
    text = utterance.text or ""
    words = split_words(text if raw_text else normalise(text, language), language)
    units = units_of(words, aligner.bundle.alphabet)
    if not any(units):
        raise InputError("has no text to align: add one in the model's language")
    spelt = [unit for unit in units if unit]
    with ApproximateAligner(spelt, tolerance) as search:
        duration_s = aligner.listen(utterance, search.feed)
        found = search.best()
    stride_s = aligner.bundle.output_stride_s
    extra = tuple(
        ExtraSpeech(
            round(stretch.start_frame * stride_s, 3),
            round(min(duration_s, stretch.end_frame * stride_s), 3),
            stretch.num_labels,
        )
        for stretch in found.extra
    )
    return AlignedRecording(
        utterance, duration_s, language, _timed(words, units, found, aligner, duration_s), extra
    )


def units_of(words: Sequence[str], alphabet: Alphabet) -> list[list[int]]:
    """The labels of each word, and of the space after it in a language with spaces.

    Words that the alphabet cannot spell have no labels.
    """
    spaced = is_spaced(alphabet.language)
    units: list[list[int]] = []
    last = -1
    for index, word in enumerate(words):
        units.append([] if alphabet.unspellable(word) else alphabet.encode(word))
        if units[-1]:
            if spaced and last >= 0:
                units[last] += alphabet.encode(SPACE)
            last = index
    return units


def _timed(
    words: Sequence[str],
    units: Sequence[Sequence[int]],
    found: Approximation,
    aligner: Aligner,
    duration_s: float,
) -> tuple[SpokenWord | str, ...]:
    alphabet, stride_s = aligner.bundle.alphabet, aligner.bundle.output_stride_s
    results = iter(zip(found.tokens, found.log_probs, strict=True))
    timed: list[SpokenWord | str] = []
    for word, unit in zip(words, units, strict=True):
        tokens, log_prob = next(results) if unit else ((), 0.0)
        if not tokens:
            timed.append(word)
            continue
        letters = tokens[:-1] if alphabet.symbols[tokens[-1].label - 1] == SPACE else tokens
        parts = words_of(letters, alphabet, stride_s, duration_s)
        start_s, end_s = parts[0].start_s, parts[-1].end_s
        timed.append(SpokenWord(word, start_s, end_s, parts[0].confidence, log_prob))
    return tuple(timed)


def read_aligned(path: Path) -> list[AlignedRecording]:
    """The recordings in a file that `ds2 corpus align` wrote. Raises InputError."""
    recordings = [
        _aligned_from(json_object(line, f"{path}:{number}"), path, number)
        for number, line in numbered_lines(path)
    ]
    if not recordings:
        raise InputError(f"{path}: holds no recordings: make it with ds2 corpus align")
    return recordings


def _aligned_from(fields: dict[str, Any], path: Path, line: int) -> AlignedRecording:
    where = f"{path}:{line}"
    try:
        words = tuple(_word_from(item) for item in fields.pop("words"))
        extra = tuple(
            ExtraSpeech(float(item["start"]), float(item["end"]), int(item["labels"]))
            for item in fields.pop("extra")
        )
        duration_s, language = float(fields.pop("duration")), str(fields.pop("language"))
        audio_path = Path(fields.pop("audio_filepath"))
        offset_s = float(fields.pop("offset", 0.0))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: is not an aligned recording ({error}): make the file with ds2 corpus align"
        ) from None
    utterance = Utterance(
        audio_path if audio_path.is_absolute() else path.absolute().parent / audio_path,
        duration_s,
        offset_s=offset_s,
        speaker=fields.pop("speaker", None),
        language=language,
        extra=fields,
        source_file=path,
        line=line,
    )
    return AlignedRecording(utterance, duration_s, language, words, extra)


def _word_from(fields: Mapping[str, Any]) -> SpokenWord | str:
    text = str(fields["word"])
    if "start" not in fields:
        return text
    return SpokenWord(
        text,
        float(fields["start"]),
        float(fields["end"]),
        float(fields["confidence"]),
        float(fields["log_prob"]),
    )
