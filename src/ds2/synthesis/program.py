"""Run programs that write a recording."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ds2.audio import SAMPLE_RATE_HZ, read_audio
from ds2.errors import InputError

TIMEOUT_S = 300
"""Longer than any engine needs for a sentence; ds2 stops a program that waits for something."""


def find_program(name: str, hint: str) -> str:
    """The program's path. Raises InputError, with the hint, if it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise InputError(f"{name} is not installed: {hint}")
    return path


def run(arguments: Sequence[str], text: str = "") -> bytes:
    """Run a program with a text on its standard input; return its standard output.

    Raises InputError if the program fails.
    """
    name = Path(arguments[0]).name
    try:
        done = subprocess.run(
            list(arguments),
            input=text.encode(),
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{name} did not finish within {TIMEOUT_S} s") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        raise InputError(f"{name} cannot be run: {error}") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split()[-40:])
        raise InputError(
            f"{name} failed with exit status {done.returncode}: {said or 'it gave no reason'}"
        )
    return done.stdout


def recording_of(
    arguments_for: Callable[[str], Sequence[str]], text: str = "", *, prints: bool = False
) -> tuple[NDArray[Any], int]:
    """Run a program that writes a recording; return the waveform and the sample rate.

    arguments_for: makes the program's arguments from the path for the recording.
    prints: whether the program prints the recording instead.
    """
    with tempfile.TemporaryDirectory(prefix="ds2-") as directory:
        path = Path(directory) / "speech.wav"
        arguments = arguments_for(str(path))
        printed = run(arguments, text)
        name = Path(arguments[0]).name
        if prints:
            path.write_bytes(printed)
        if not path.exists() or not path.stat().st_size:
            raise InputError(f"{name} wrote no recording")
        try:
            return np.asarray(read_audio(path)), SAMPLE_RATE_HZ
        except InputError as error:
            reason = str(error).replace(str(path), "its recording")
            raise InputError(f"{name}: {reason}") from None
