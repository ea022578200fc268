"""Decodes a stream's outputs segment by segment, and reports the events."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ds2.ctc.hypothesis import Decoder, Glance, Token
from ds2.model.bundle import Bundle
from ds2.recognition.endpoint import EndpointRules
from ds2.recognition.voice import VoiceStream
from ds2.text.alphabet import Alphabet
from ds2.text.spacing import join_words, needs_space
from ds2.transcripts.events import Endpoint, Event, Final, Partial, SpeechStart
from ds2.transcripts.transcript import Alternative, Transcript, Word

LOOK_S = 0.2
"""Seconds of audio between two looks at the hypotheses of a stream that reports events."""
SPACE = " "


class Segments:
    """The current segment of one stream, and the events of this segment and earlier ones.

    At an endpoint a new decoder takes over, so an endless stream needs no more memory. Events and
    the ends of segments depend on the outputs alone, not on the pieces in which they come.
    """

    def __init__(
        self,
        bundle: Bundle,
        new_decoder: Callable[[], Decoder],
        *,
        rules: EndpointRules | None = None,
        voice: VoiceStream | None = None,
        num_alternatives: int = 0,
        is_silent: bool = False,
    ) -> None:
        """rules: None: the whole stream is one segment. is_silent: report no events.

        voice: a detector for the rules. It must get the stream's audio before the outputs come.
        """
        self.voice = voice
        self.events: list[Event] = []
        self.final: Transcript | None = None  # the last segment's, once the stream has ended
        self._bundle = bundle
        self._new_decoder = new_decoder
        self._rules = rules
        self._num_alternatives = num_alternatives
        self._is_silent = is_silent
        self._space = _label_of(SPACE, bundle.alphabet)
        self._look = max(1, round(LOOK_S / bundle.output_stride_s))  # frames between two looks
        self._num_frames = 0  # number of all decoded frames
        self._begin()

    def _begin(self) -> None:
        self._decoder = self._new_decoder()
        self._first_frame = self._num_frames
        self._has_speech = False
        self._text = _GrowingText(self._bundle.alphabet)
        self._told = ("", "")

    def take(self, log_probs: NDArray[np.float32]) -> None:
        """Decode (T', V) more outputs."""
        if self._is_silent and not self._rules:
            self._decoder.feed(log_probs)
            self._num_frames += len(log_probs)
            return
        while len(log_probs):
            count = self._look - self._num_frames % self._look  # to the next look
            self._decoder.feed(log_probs[:count])
            self._num_frames += len(log_probs[:count])
            log_probs = log_probs[count:]
            if self._num_frames % self._look == 0:
                self._take_look()

    def _take_look(self) -> None:
        """Report what is new, and end the segment if it is over."""
        seen = self._decoder.glance()
        first, last = _spoken(seen.labels, self._space)
        has_speech = first < last
        if has_speech and not self._has_speech:
            self._has_speech = True
            self._tell(SpeechStart(self._time_s(self._first_frame + seen.start_frames[first])))
        self._tell_partial(seen)
        if self._rules:
            num_frames = self._num_frames - self._first_frame
            last_frame = seen.end_frames[last - 1] if has_speech else 0
            reason = self._rules.reason_to_end(
                self._time_s(num_frames),
                self._time_s(num_frames - last_frame),
                has_speech=has_speech,
                no_voice_s=self._no_voice_s(),
            )
            if reason:
                time_s = self._time_s(self._num_frames)
                self._end_segment(math.inf)
                self._tell(Endpoint(time_s, reason))
                self._begin()

    def _no_voice_s(self) -> float | None:
        """The seconds since the last voice in this segment; None without a detector."""
        if self.voice is None:
            return None
        now_s = self._time_s(self._num_frames)
        return now_s - max(self.voice.last_voice_s(now_s), self._time_s(self._first_frame))

    def _tell_partial(self, seen: Glance) -> None:
        said = self._text.of(seen.labels, seen.num_stable)
        if said != self._told and any(said):
            self._told = said
            self._tell(Partial(*said))

    def flush(self, log_probs: NDArray[np.float32], duration_s: float) -> None:
        """End the segment, with (T', V) outputs that the network guessed for its last moments.

        duration_s: the duration of the stream so far.
        """
        self._decoder.feed(log_probs)
        self._num_frames += len(log_probs)
        self._end_segment(duration_s)
        self._tell(Endpoint(self._time_s(self._num_frames), "request"))
        self._begin()

    def end(self, duration_s: float) -> None:
        """End the stream and its last segment."""
        self.final = self._end_segment(duration_s)

    def _end_segment(self, duration_s: float) -> Transcript:
        final = self.transcript(duration_s, is_final=True)
        if final.words and not self._has_speech:  # too short for a look
            self._tell(SpeechStart(final.words[0].start_s))
        self._tell(Final(final))
        return final

    def transcript(self, duration_s: float, *, is_final: bool) -> Transcript:
        """The current segment. duration_s: the stream's duration so far; no word ends after it."""
        bundle = self._bundle
        found = self._decoder.best(1 + self._num_alternatives, is_final=is_final)
        readings = [
            words_of(
                hypothesis.tokens,
                bundle.alphabet,
                bundle.output_stride_s,
                duration_s,
                first_frame=self._first_frame,
            )
            for hypothesis in found
        ]
        alternatives = (
            tuple(
                Alternative(
                    join_words((word.text for word in words), bundle.language), hypothesis.scores
                )
                for words, hypothesis in zip(readings, found, strict=True)
            )
            if self._num_alternatives
            else ()
        )
        end_s = self._time_s(self._num_frames) if duration_s == math.inf else duration_s
        length_s = max(0.0, end_s - self._time_s(self._first_frame))
        return Transcript(tuple(readings[0]), length_s, bundle.language, alternatives)

    @property
    def language(self) -> str:
        """The language of the words."""
        return self._bundle.language

    def stable_words(self) -> list[Word]:
        """The words of the current segment that no more audio changes."""
        bundle = self._bundle
        (hypothesis,) = self._decoder.best(is_final=False)
        last = hypothesis.num_stable - 1  # the last token may still grow longer
        while last > 0 and _goes_on(bundle.alphabet.symbols[hypothesis.tokens[last].label - 1]):
            last -= 1  # and so may the word that holds it
        return words_of(
            hypothesis.tokens[: max(0, last)],
            bundle.alphabet,
            bundle.output_stride_s,
            math.inf,
            first_frame=self._first_frame,
        )

    def _tell(self, event: Event) -> None:
        if not self._is_silent:
            self.events.append(event)

    def _time_s(self, frame: int) -> float:
        return round(frame * self._bundle.output_stride_s, 3)


class Outputs:
    """Takes the place of segments: passes the outputs on without decoding."""

    def __init__(self, take: Callable[[NDArray[np.float32]], None]) -> None:
        self.take = take
        self.voice: VoiceStream | None = None
        self.events: list[Event] = []
        self.final: Transcript | None = None

    def end(self, duration_s: float) -> None:
        """Do nothing: there is no segment to end."""

    def flush(self, log_probs: NDArray[np.float32], duration_s: float) -> None:
        """Raise NotImplementedError: there are no segments to end."""
        raise NotImplementedError

    def transcript(self, duration_s: float, *, is_final: bool) -> Transcript:
        """Raise NotImplementedError: there is no text."""
        raise NotImplementedError


def _goes_on(symbol: str) -> bool:
    """Whether a symbol is a letter of a word, so that more letters may follow."""
    return symbol != SPACE and symbol.isascii()


def _label_of(symbol: str, alphabet: Alphabet) -> int | None:
    """The label that stands for a symbol; None if there is none."""
    return alphabet.symbols.index(symbol) + 1 if symbol in alphabet.symbols else None


def _spoken(labels: Sequence[int], space: int | None) -> tuple[int, int]:
    """The begin and end of the labels without the spaces at both ends, which are no speech."""
    first, last = 0, len(labels)
    while last and labels[last - 1] == space:
        last -= 1
    while first < last and labels[first] == space:
        first += 1
    return first, last


class _GrowingText:
    """The text of a segment under way. Labels that stay are read once."""

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet
        self._stable = ""
        self._num_stable = 0  # labels
        self._last = ""  # the last symbol of the stable text that is no space
        self._has_space = False  # after it

    def of(self, labels: Sequence[int], num_stable: int) -> tuple[str, str]:
        """The text of the labels that stay, and of those after them, as `Transcript.text` has it.

        labels: those that stayed at an earlier call are the same. A space comes with the symbol
        that follows it.
        """
        if num_stable > self._num_stable:
            new = labels[self._num_stable : num_stable]
            text, self._last, self._has_space = self._read(new)
            self._stable += text
            self._num_stable = num_stable
        return self._stable, self._read(labels[self._num_stable :])[0]

    def _read(self, labels: Sequence[int]) -> tuple[str, str, bool]:
        """What labels add to the stable text; its last symbol then, and whether a space follows."""
        symbols, language = self._alphabet.symbols, self._alphabet.language
        text, last, has_space = "", self._last, self._has_space
        for label in labels:
            symbol = symbols[label - 1]
            if symbol == SPACE:
                has_space = True
                continue
            if has_space and needs_space(last, symbol, language):
                text += SPACE
            text += symbol
            last, has_space = symbol, False
        return text, last, has_space


def words_of(
    tokens: Sequence[Token],
    alphabet: Alphabet,
    output_stride_s: float,
    duration_s: float,
    *,
    first_frame: int = 0,
) -> list[Word]:
    """The words that tokens spell, with times and confidences.

    first_frame: the output frame of the audio at which the tokens' times begin.

    Output frame j stands for the time from j to j + 1 strides. A word lasts from its first
    token's first frame to its last token's last frame. Its confidence is the geometric mean of
    its tokens' confidences. In Mandarin every character is a word, and so is each Latin word.
    """
    groups: list[list[Token]] = []
    last = ""  # the symbol before, unless that is a space
    for token in tokens:
        symbol = alphabet.symbols[token.label - 1]
        if symbol == SPACE:
            last = ""
            continue
        if not needs_space(last, symbol, alphabet.language):  # then they do not make one word
            groups.append([])
        groups[-1].append(token)
        last = symbol
    return [_word(group, alphabet, output_stride_s, duration_s, first_frame) for group in groups]


def _word(
    tokens: Sequence[Token],
    alphabet: Alphabet,
    output_stride_s: float,
    duration_s: float,
    first_frame: int,
) -> Word:
    confidence = math.prod(token.confidence for token in tokens) ** (1 / len(tokens))
    return Word(
        text=alphabet.decode(token.label for token in tokens),
        start_s=round(min(duration_s, (first_frame + tokens[0].start_frame) * output_stride_s), 3),
        end_s=round(min(duration_s, (first_frame + tokens[-1].end_frame) * output_stride_s), 3),
        confidence=confidence,
    )
