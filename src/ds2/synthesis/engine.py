"""Engine: what speaks a text; and the finding of one by its name."""

import importlib
import importlib.util
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ds2.errors import InputError
from ds2.synthesis.command import CommandEngine
from ds2.synthesis.espeak import EspeakEngine

COMMAND = "command:"


class Engine(Protocol):
    """What speaks a text with a voice. Several threads may call `speak` at once."""

    @property
    def name(self) -> str:
        """In manifests: "espeak-ng"."""

    @property
    def varies(self) -> Collection[str]:
        """What it can change: "speed", "pitch", both or neither."""

    def voices(self) -> list[str]:
        """The names of its voices; none if it cannot list them and takes any name."""

    def speak(
        self, text: str, voice: str, *, speed: float, pitch: float, seed: int
    ) -> tuple[NDArray[Any], int]:
        """The (N,) waveform, float within [-1, 1] or int16, and its sample rate in Hz.

        speed, pitch: 1 is the voice's own, 1.1 a tenth faster or higher; 1 where it cannot vary.
        seed: for engines that draw at random; the same seed gives the same waveform.

        Any exception is told to the user with the line of the text, which is then left out.
        """


def find_engine(name: str) -> Engine:
    """espeak-ng, "command:PROGRAM ...", or "module:Name" or "file.py:Name". Raises InputError."""
    if name == "espeak-ng":
        return EspeakEngine()
    if name.startswith(COMMAND):
        return CommandEngine(name.removeprefix(COMMAND))
    module, separator, attribute = name.rpartition(":")
    if not (separator and module and attribute.isidentifier()):
        raise InputError(
            f"--engine {name}: is none of espeak-ng, 'command:PROGRAM ARGUMENT...', module:Name "
            "and file.py:Name"
        )
    return _make(_import(module, name), attribute, name)


def _import(module: str, name: str) -> Any:
    """The Python module of this name or file, from the working directory or installed."""
    try:
        if not module.endswith(".py"):
            if "" not in sys.path and str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
            return importlib.import_module(module)
        path = Path(module)
        if not path.is_file():
            raise InputError(f"--engine {name}: there is no file {module}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise InputError(f"--engine {name}: {module} is no Python file")
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found
    except InputError:
        raise
    except Exception as error:  # whatever somebody's code raises
        raise InputError(f"--engine {name}: cannot be imported: {reason_of(error)}") from None


def _make(module: Any, attribute: str, name: str) -> Engine:
    """The engine that the module's class or function makes."""
    maker = getattr(module, attribute, None)
    if not callable(maker):
        raise InputError(f"--engine {name}: the module has no class or function {attribute}")
    try:
        engine: Engine = maker()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"--engine {name}: {attribute}() fails: {reason_of(error)}") from None
    lacking = [each for each in ("name", "varies", "voices", "speak") if not hasattr(engine, each)]
    if lacking:
        raise InputError(
            f"--engine {name}: is no engine: it has no {' and no '.join(lacking)} (see "
            "ds2.synthesis.engine.Engine)"
        )
    return engine


def reason_of(error: BaseException) -> str:
    """The error's kind and message, in one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
