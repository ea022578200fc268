"""The command that installs a missing part of this ds2."""

import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ds2.errors import InputError

DISTRIBUTION = "deepspeech2"
"""The name for pip. The package and the command have the name ds2."""


def install_command(*extras: str) -> str:
    """The command that adds extras such as "train" and "serve" to this installation.

    It names the source of this ds2: a checkout, a wheel, or the package index.
    """
    chosen = ",".join(extras)
    checkout = _checkout()
    if checkout is not None:
        return f"pip install -e '{checkout}[{chosen}]'"
    return f"pip install '{_local_source() or DISTRIBUTION}[{chosen}]'"


@contextmanager
def needing(*extras: str, told: str) -> Iterator[None]:
    """Import libraries of these extras inside. For a missing one, InputError names the command.

    told: what needs the library, such as "training".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "ds2":  # our own fault
            raise
        raise InputError(f"{told} needs {error.name}: {install_command(*extras)}") from None


def _checkout() -> Path | None:
    """The directory of the sources, if this file runs from there."""
    directory = Path(__file__).resolve().parents[2]
    try:
        settings = (directory / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return None
    return directory if f'name = "{DISTRIBUTION}"' in settings else None


def _local_source() -> Path | None:
    """The directory or wheel from which pip installed this ds2, if it still exists."""
    try:
        text = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
        url = urlsplit(json.loads(text or "{}").get("url", ""))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
    path = Path(unquote(url.path))
    return path if url.scheme == "file" and path.exists() else None
