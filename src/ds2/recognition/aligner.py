"""Alignment: the times of the words in a recording whose text is known."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ds2.audio import SAMPLE_RATE_HZ
from ds2.ctc.alignment.forced import ForcedAligner
from ds2.model.acoustic import AcousticModel
from ds2.model.bundle import Bundle, find_bundle, load_bundle
from ds2.model.computing import Arithmetic, Device
from ds2.recognition.recordings import Recording, recording_blocks
from ds2.recognition.segments import Outputs, words_of
from ds2.recognition.streams import Stream, WholeStream
from ds2.transcripts.transcript import Transcript, Word

CHUNK_S = 2.0
"""Seconds of audio in one step of a streaming model."""


@dataclass(frozen=True)
class AlignedText:
    """The times of a text. They count from the start of the recording, or of its given part."""

    transcript: Transcript  # the words
    characters: tuple[Word, ...]  # the alphabet's symbols, without spaces
    log_prob: float  # of the alignment, in natural logarithms
    num_frames: int  # the model's output frames
    num_labels: int  # labels of the text, spaces included

    @property
    def log_prob_per_frame(self) -> float:
        """How well the text fits, independent of the recording's length. Silence raises it."""
        return self.log_prob / self.num_frames

    @property
    def log_prob_per_label(self) -> float:
        """How well the text fits, independent of its length. ds2 finds wrong texts by it."""
        return self.log_prob / self.num_labels

    def to_dict(self, *, with_characters: bool = False) -> dict[str, Any]:
        """Plain data; times in seconds."""
        fields: dict[str, Any] = {
            "duration": self.transcript.duration_s,
            "text": self.transcript.text,
            "log_prob": round(self.log_prob, 4),
            "log_prob_per_frame": round(self.log_prob_per_frame, 4),
            "log_prob_per_label": round(self.log_prob_per_label, 4),
            "words": [_fields(word, "word") for word in self.transcript.words],
        }
        if with_characters:
            fields["characters"] = [_fields(item, "character") for item in self.characters]
        return fields


def _fields(item: Word, name: str) -> dict[str, Any]:
    return {
        name: item.text,
        "start": item.start_s,
        "end": item.end_s,
        "confidence": round(item.confidence, 4),
    }


class Aligner:
    """A model ready to align. May be used from several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        num_threads: int = 1,
        *,
        arithmetic: Arithmetic = "auto",
        device: Device = "auto",
    ) -> None:
        """num_threads: processor cores for one step of the model; 0: all.

        arithmetic, device: as in `Recognizer.load`.
        """
        self.bundle = bundle
        self._model = AcousticModel(bundle, num_threads, arithmetic=arithmetic, device=device)

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        *,
        num_threads: int = 1,
        arithmetic: Arithmetic = "auto",
        device: Device = "auto",
    ) -> "Aligner":
        """The aligner of a bundle, by its directory or, for a shipped bundle, its name ("en").

        arithmetic, device: as of `Recognizer.load`.

        Raises InputError.
        """
        return cls(
            load_bundle(find_bundle(bundle)), num_threads, arithmetic=arithmetic, device=device
        )

    def align(
        self,
        recording: Recording,
        text: str,
        *,
        sample_rate: int | None = None,
        track: int | str | None = None,
    ) -> AlignedText:
        """The times of the text in a recording of any length, in bounded memory.

        text: in the alphabet's style (`ds2.text.normalise`).
        sample_rate: the rate of samples in memory, in Hz; None: 16000.
        track: for a film with several sound tracks, the track's number, from 1, or its language.

        Raises InputError if the alphabet cannot spell the text, if the text is too long, or if ds2
        cannot read the recording.
        """
        alphabet, stride_s = self.bundle.alphabet, self.bundle.output_stride_s
        with ForcedAligner(alphabet.encode(text)) as aligner:
            duration_s = self.listen(recording, aligner.feed, sample_rate=sample_rate, track=track)
            hypothesis = aligner.best()[0]
        tokens = hypothesis.tokens
        words = words_of(tokens, alphabet, stride_s, duration_s)
        characters = [
            item for token in tokens for item in words_of([token], alphabet, stride_s, duration_s)
        ]
        return AlignedText(
            Transcript(tuple(words), duration_s, self.bundle.language),
            tuple(characters),
            hypothesis.scores.acoustic,
            aligner.num_frames,
            len(tokens),
        )

    def listen(
        self,
        recording: Recording,
        take: Callable[[NDArray[np.float32]], None],
        *,
        sample_rate: int | None = None,
        track: int | str | None = None,
    ) -> float:
        """Run the model over the recording, piece by piece. Returns the duration in seconds.

        take: a function that gets the (T, V) log_probs of each piece; track: as in `align`.
        Raises InputError.
        """
        stream: Stream | WholeStream
        if self.bundle.model.streaming:
            stream = Stream(self._model, Outputs(take), CHUNK_S)
        else:
            stream = WholeStream(self._model, Outputs(take))
        num_samples = 0
        for block in recording_blocks(recording, sample_rate, track=track):
            stream.feed(block)
            num_samples += len(block)
        stream.close()
        return num_samples / SAMPLE_RATE_HZ
