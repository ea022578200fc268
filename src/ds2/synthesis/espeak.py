"""Speak with espeak-ng, a small synthesiser with a hundred languages and a hundred variants."""

import math
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from ds2.synthesis.program import find_program, recording_of, run

HINT = "apt install espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS)"

WORDS_PER_MINUTE = 175  # its default speed
SLOWEST, FASTEST = 80, 450  # the limits of its speed, in words per minute


def pitch_setting(pitch: float) -> int:
    """The setting from 0 to 99 for a pitch; by measurement, 10 more is a tenth higher."""
    return min(max(round(50 + 100 * math.log(pitch)), 0), 99)


class EspeakEngine:
    """Speaks with espeak-ng. A voice is a language (en-us), perhaps with a variant (en-us+f2)."""

    name = "espeak-ng"
    varies = ("speed", "pitch")

    def voices(self) -> list[str]:
        """Every language, alone and with every variant. Raises InputError if not installed."""
        languages = [line.split()[1] for line in self._table("--voices")]
        variants = [line.split("!v/")[1].strip() for line in self._table("--voices=variant")]
        return [
            voice
            for language in dict.fromkeys(languages)
            for voice in (language, *(f"{language}+{variant}" for variant in variants))
        ]

    def speak(
        self,
        text: str,
        voice: str,
        *,
        speed: float,
        pitch: float,
        seed: int,  # noqa: ARG002 (it uses no random numbers)
    ) -> tuple[NDArray[Any], int]:
        """The waveform and its sample rate. Raises InputError."""
        words_per_minute = min(max(round(WORDS_PER_MINUTE * speed), SLOWEST), FASTEST)
        settings = ["-v", voice, "-s", str(words_per_minute), "-p", str(pitch_setting(pitch))]
        # Double brackets would begin phonemes.
        plain = text.replace("[[", "[ [")
        return recording_of(
            lambda output: [self._program, *settings, "-b", "1", "--stdin", "-w", output], plain
        )

    def _table(self, option: str) -> list[str]:
        """The lines of a list of voices, without the heading."""
        return run([self._program, option]).decode(errors="replace").splitlines()[1:]

    @cached_property
    def _program(self) -> str:
        return find_program("espeak-ng", HINT)
