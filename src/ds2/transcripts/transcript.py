"""Transcripts: words with times, segments, and the file formats for them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from ds2.ctc.hypothesis import Scores
from ds2.errors import InputError
from ds2.text.spacing import join_words, needs_space

PAUSE_S = 0.8
"""A silence of this length ends a segment."""
LONGEST_SEGMENT_S = 10.0
"""A segment ends at the next word after this time, because nobody reads longer subtitles."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word (in Mandarin, a character) and its times."""

    text: str
    start_s: float
    end_s: float
    confidence: float  # in [0, 1]


@dataclass(frozen=True, slots=True)
class Segment:
    """Words that belong on the screen together."""

    words: tuple[Word, ...]
    text: str
    channel: int | None = None  # its number from 1, if the channels were transcribed separately

    @property
    def speaker(self) -> str | None:
        """The name of the speaker on the channel: "Speaker 1"."""
        return None if self.channel is None else f"Speaker {self.channel}"

    @property
    def line(self) -> str:
        """The text, after the speaker's name if there is one."""
        return self.text if self.speaker is None else f"{self.speaker}: {self.text}"

    @property
    def start_s(self) -> float:
        return self.words[0].start_s

    @property
    def end_s(self) -> float:
        return self.words[-1].end_s

    @property
    def confidence(self) -> float:
        """The mean confidence of its words."""
        return sum(word.confidence for word in self.words) / len(self.words)


@dataclass(frozen=True, slots=True)
class Alternative:
    """A possible text of a recording, and the parts of its score."""

    text: str
    scores: Scores


@dataclass(frozen=True)
class Transcript:
    """A recording's text, with its words in time order.

    If the channels were transcribed separately, the words are in the order of the segments.
    """

    words: tuple[Word, ...]
    duration_s: float
    language: str
    alternatives: tuple[Alternative, ...] = ()  # if asked for; the best, this text, comes first
    channels: tuple["Transcript", ...] = ()  # one for each, if they were transcribed separately

    @property
    def text(self) -> str:
        """All words, with spaces between them; Mandarin characters have no spaces."""
        return _text_of(self.words, self.language)

    def segments(self) -> list[Segment]:
        """The words, cut at pauses and where a segment becomes too long.

        If the transcript has channels, their segments are in the order of their starts.
        """
        if self.channels:
            told = (
                replace(segment, channel=number)
                for number, channel in enumerate(self.channels, 1)
                for segment in channel.segments()
            )
            return sorted(told, key=lambda segment: segment.start_s)
        segments: list[list[Word]] = []
        for word in self.words:
            current = segments[-1] if segments else []
            if (
                not current
                or word.start_s - current[-1].end_s >= PAUSE_S
                or word.end_s - current[0].start_s > LONGEST_SEGMENT_S
            ):
                segments.append([])
            segments[-1].append(word)
        return [Segment(tuple(words), _text_of(words, self.language)) for words in segments]


def together(finals: Sequence[Transcript]) -> Transcript:
    """One transcript of all segments (at least one); it has alternatives only for one segment."""
    if len(finals) == 1:
        return finals[0]
    words = tuple(word for final in finals for word in final.words)
    duration_s = sum(final.duration_s for final in finals)
    return Transcript(words, duration_s, finals[-1].language)


@dataclass(frozen=True)
class LineShape:
    """The line breaks of subtitles, and the content of JSON; Whisper's options and meanings.

    A new subtitle begins when a width or count is full. Without any of them, a segment is one line.
    """

    max_line_width: int | None = None  # characters
    max_line_count: int | None = None  # lines of one subtitle; needs max_line_width
    max_words_per_line: int | None = None
    highlight_words: bool = False  # underline each word while somebody says it
    word_times: bool = True  # whether JSON has them

    def __post_init__(self) -> None:
        for name in ("max_line_width", "max_line_count", "max_words_per_line"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name}: must be at least 1, not {value}")
        if self.max_line_count and not self.max_line_width:
            raise InputError("max_line_count: needs max_line_width, which says when a line is full")


def _text_of(words: Iterable[Word], language: str) -> str:
    return join_words((word.text for word in words), language)


def _separated(words: Iterable[Word], language: str) -> Iterator[tuple[str, Word]]:
    """Each word, with the separator before it."""
    before = ""
    for word in words:
        yield " " * needs_space(before, word.text, language), word
        before = word.text


def to_txt(transcript: Transcript, shape: LineShape) -> str:
    """The text with a segment in each line, and its speaker if the transcript has channels."""
    del shape
    return "".join(segment.line + "\n" for segment in transcript.segments())


def to_tsv(transcript: Transcript, shape: LineShape) -> str:
    """A line for each segment: start and end in milliseconds and text, with tabs between.

    If the transcript has channels, the speaker comes last.
    """
    del shape
    lines = ["start\tend\ttext" + "\tspeaker" * bool(transcript.channels)]
    for segment in transcript.segments():
        text = segment.text.replace("\t", " ")
        line = f"{round(1000 * segment.start_s)}\t{round(1000 * segment.end_s)}\t{text}"
        lines.append(line if segment.speaker is None else f"{line}\t{segment.speaker}")
    return "\n".join(lines) + "\n"


def to_json(transcript: Transcript, shape: LineShape) -> str:
    """Everything, in Whisper's layout with some more keys."""
    fields = transcript_to_dict(transcript)
    if not shape.word_times:
        for segment in fields["segments"]:
            del segment["words"]
    return json.dumps(fields, ensure_ascii=False, indent=2) + "\n"


def transcript_to_dict(transcript: Transcript) -> dict[str, Any]:
    """Plain data: text, language, duration, segments with their words, alternatives if any.

    If the transcript has channels, segments have a speaker, and each channel has its text.
    """
    fields: dict[str, Any] = {
        "text": transcript.text,
        "language": transcript.language,
        "duration": transcript.duration_s,
        "segments": [
            {
                "id": index,
                "start": segment.start_s,
                "end": segment.end_s,
                "text": segment.text,
                **speaker_of(segment),
                "confidence": round(segment.confidence, 4),
                "words": [_word_to_dict(word) for word in segment.words],
            }
            for index, segment in enumerate(transcript.segments())
        ],
    }
    if transcript.alternatives:
        fields["alternatives"] = [_alternative_to_dict(item) for item in transcript.alternatives]
    if transcript.channels:
        fields["channels"] = [
            _channel_to_dict(number, each) for number, each in enumerate(transcript.channels, 1)
        ]
    return fields


def speaker_of(segment: Segment) -> dict[str, Any]:
    """Plain data: the speaker and the channel, where channels were heard apart."""
    if segment.channel is None:
        return {}
    return {"speaker": segment.speaker, "channel": segment.channel}


def _channel_to_dict(number: int, transcript: Transcript) -> dict[str, Any]:
    fields: dict[str, Any] = {"channel": number, "text": transcript.text}
    if transcript.alternatives:
        fields["alternatives"] = [_alternative_to_dict(item) for item in transcript.alternatives]
    return fields


def _alternative_to_dict(alternative: Alternative) -> dict[str, Any]:
    scores = {name: round(value, 4) for name, value in asdict(alternative.scores).items()}
    return {"text": alternative.text, "score": round(alternative.scores.total, 4), **scores}


def _word_to_dict(word: Word) -> dict[str, Any]:
    fields = asdict(word)
    return {
        "word": fields["text"],
        "start": fields["start_s"],
        "end": fields["end_s"],
        "confidence": round(fields["confidence"], 4),
    }


def to_ctm(transcript: Transcript, utterance_id: str) -> str:
    """NIST's CTM, a word in each line: utterance, channel, start, duration, word, confidence."""
    name = "_".join(utterance_id.split())  # white space separates the fields
    return "".join(
        f"{name} {number} {word.start_s:.3f} {word.end_s - word.start_s:.3f} {word.text} "
        f"{word.confidence:.4f}\n"
        for number, channel in enumerate(transcript.channels or (transcript,), 1)
        for word in channel.words
    )


def to_srt(transcript: Transcript, shape: LineShape) -> str:
    """SubRip subtitles; if the transcript has channels, each begins with its speaker."""
    cues = enumerate(_cues(transcript, shape, in_text=True), 1)
    return "".join(
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{cue.text}\n\n"
        for number, cue in cues
    )


def to_vtt(transcript: Transcript, shape: LineShape) -> str:
    """WebVTT subtitles; if the transcript has channels, in voice spans of their speakers."""
    cues = _cues(transcript, shape, in_text=False)
    return "WEBVTT\n\n" + "".join(
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{cue.text}\n\n" for cue in cues
    )


WRITERS: Mapping[str, Callable[[Transcript, LineShape], str]] = MappingProxyType(
    {
        "txt": to_txt,
        "srt": to_srt,
        "vtt": to_vtt,
        "tsv": to_tsv,
        "json": to_json,
    }
)
"""Writers by file extension; `to_ctm` is not here, because it also needs a name."""


@dataclass(frozen=True, slots=True)
class _Cue:
    """A subtitle: the text on the screen from start to end."""

    start_s: float
    end_s: float
    text: str


def _cues(transcript: Transcript, shape: LineShape, *, in_text: bool) -> Iterator[_Cue]:
    """The subtitles. in_text: whether the speaker is part of the text; if not, a VTT voice span."""
    for segment in transcript.segments():
        name = f"{segment.speaker}: " if segment.speaker and in_text else ""
        voice = f"<v {segment.speaker}>" if segment.speaker and not in_text else ""
        for lines in _subtitles(segment.words, transcript.language, shape, name):
            words = [word for line in lines for _, word in line]
            if shape.highlight_words:
                cues = _highlighted(lines, words)
            else:
                cues = iter([_Cue(words[0].start_s, words[-1].end_s, _drawn(lines))])
            yield from (replace(cue, text=voice + cue.text) for cue in cues)


Line = list[tuple[str, Word]]
"""Words, each with the separator before it."""


def _subtitles(
    words: Sequence[Word], language: str, shape: LineShape, name: str
) -> Iterator[list[Line]]:
    """A segment's words as the lines of each subtitle. name: the beginning of each subtitle."""
    lines: list[Line] = []
    for separator, word in _separated(words, language):
        if lines and not _is_full(lines[-1], separator + word.text, shape):
            lines[-1].append((separator, word))
            continue
        # Without a count, wide text takes as many lines as it needs, as in Whisper.
        new_subtitle = shape.max_words_per_line is not None or (
            shape.max_line_count is not None and len(lines) == shape.max_line_count
        )
        if lines and new_subtitle:
            yield lines
            lines = []
        lines.append([("" if lines else name, word)])
    if lines:
        yield lines


def _is_full(line: Line, addition: str, shape: LineShape) -> bool:
    width = sum(len(separator) + len(word.text) for separator, word in line)
    too_wide = shape.max_line_width is not None and width + len(addition) > shape.max_line_width
    return too_wide or len(line) == shape.max_words_per_line


def _highlighted(lines: Sequence[Line], words: Sequence[Word]) -> Iterator[_Cue]:
    """A cue for each word, which it underlines, and for each gap between words."""
    last_s = words[0].start_s
    for spoken in words:
        if spoken.start_s > last_s:
            yield _Cue(last_s, spoken.start_s, _drawn(lines))
        yield _Cue(spoken.start_s, spoken.end_s, _drawn(lines, spoken))
        last_s = spoken.end_s


def _drawn(lines: Sequence[Line], spoken: Word | None = None) -> str:
    drawn = [
        "".join(
            separator + (f"<u>{word.text}</u>" if word is spoken else word.text)
            for separator, word in line
        )
        for line in lines
    ]
    return "\n".join(drawn).replace("-->", "->")


def _clock(time_s: float, decimal: str) -> str:
    milliseconds = round(1000 * time_s)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds, thousandths = divmod(rest, 1000)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{decimal}{thousandths:03d}"
