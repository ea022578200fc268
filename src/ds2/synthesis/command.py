"""Speak with any program that writes a recording of a text: flite, pico2wave, piper, say."""

import re
import shlex
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.synthesis.program import find_program, recording_of

PLACES = ("text", "output", "voice", "speed", "stretch", "pitch", "seed")
"""The names that a template may have in braces; stretch is 1 / speed."""


class CommandEngine:
    """Runs a command for each text, without a shell.

    template: the command line, with names in braces. Without {text}, the program gets the text on
        its standard input. Without {output}, the program must print the recording.
    """

    def __init__(self, template: str) -> None:
        where = f"--engine command:{template}"
        try:
            self._arguments = shlex.split(template)
        except ValueError as error:
            raise InputError(f"{where}: {str(error).lower()}") from None
        if not self._arguments:
            raise InputError(f"{where}: name a program, such as: command:flite -t {{text}} ...")
        places = set(re.findall(r"\{(\w*)\}", template))
        if unknown := sorted(places - set(PLACES)):
            known = ", ".join(f"{{{place}}}" for place in PLACES)
            raise InputError(f"{where}: {{{unknown[0]}}} is unknown: use only {known}")
        self._places = places
        self._arguments[0] = find_program(self._arguments[0], "install it, or give its path")
        self.name = Path(self._arguments[0]).name
        self.varies = {"speed"} & places | {"pitch"} & places
        if "stretch" in places:
            self.varies.add("speed")

    def voices(self) -> list[str]:
        """One name if the template has no {voice}; otherwise none: any name may be right."""
        return [] if "voice" in self._places else ["default"]

    def speak(
        self, text: str, voice: str, *, speed: float, pitch: float, seed: int
    ) -> tuple[NDArray[Any], int]:
        """The waveform and its sample rate. Raises InputError."""
        values = {
            "text": text,
            "voice": voice,
            "speed": f"{speed:g}",
            "stretch": f"{1 / speed:g}",
            "pitch": f"{pitch:g}",
            "seed": str(seed),
        }
        return recording_of(
            lambda output: [
                _filled(each, {**values, "output": output}) for each in self._arguments
            ],
            "" if "text" in self._places else text + "\n",
            prints="output" not in self._places,
        )


def _filled(argument: str, values: dict[str, str]) -> str:
    """The argument with its values, all filled in at once, because texts may contain braces."""
    filled = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], argument)
    # The program must not take a text with a dash at its beginning for an option.
    return f" {filled}" if argument == "{text}" and filled.startswith("-") else filled
