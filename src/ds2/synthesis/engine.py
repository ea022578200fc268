"""Engine: speaks texts. `find_engine` finds an engine by its name."""

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
    """Speaks texts with voices. Several threads may call `speak` at once."""

    @property
    def name(self) -> str:
        """The name for manifests: "espeak-ng"."""

    @property
    def varies(self) -> Collection[str]:
        """The properties that it can change: "speed", "pitch", both or neither."""

    def voices(self) -> list[str]:
        """The names of its voices; empty if it cannot list them and takes any name."""

    def speak(
        self, text: str, voice: str, *, speed: float, pitch: float, seed: int
    ) -> tuple[NDArray[Any], int]:
        """The (N,) waveform, float within [-1, 1] or int16, and its sample rate in Hz.

        speed, pitch: 1 is the voice's own, 1.1 is a tenth faster or higher; always 1 if the engine
            cannot change it.
        seed: for engines that use random numbers; the same seed gives the same waveform.

        If it raises any exception, ds2 shows it with the line of the text, and leaves the text out.
        """


def find_engine(name: str) -> Engine:
    """The engine for "espeak-ng", "command:PROGRAM ...", "module:Name" or "file.py:Name".

    Raises InputError.
    """
    if name == "espeak-ng":
        return EspeakEngine()
    if name.startswith(COMMAND):
        return CommandEngine(name.removeprefix(COMMAND))
    module, separator, attribute = name.rpartition(":")
    if not (separator and module and attribute.isidentifier()):
        raise InputError(
            f"--engine {name}: unknown engine: give espeak-ng, 'command:PROGRAM ARGUMENT...', "
            "module:Name or file.py:Name"
        )
    return _make(_import(module, name), attribute, name)


def _import(module: str, name: str) -> Any:
    """The Python module with this name or file, from the working directory or installed."""
    try:
        if not module.endswith(".py"):
            if "" not in sys.path and str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
            return importlib.import_module(module)
        path = Path(module)
        if not path.is_file():
            raise InputError(f"--engine {name}: there is no file {module}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise InputError(f"--engine {name}: {module} is not a Python file")
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found
    except InputError:
        raise
    except Exception as error:  # the user's code may raise anything
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
            f"--engine {name}: is not an engine: it has no {' and no '.join(lacking)} (see "
            "ds2.synthesis.engine.Engine)"
        )
    return engine


def reason_of(error: BaseException) -> str:
    """The error's kind and message, in one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
