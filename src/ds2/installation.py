"""How this ds2 was installed, and so what to type where a part of it is missing."""

import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ds2.errors import InputError

DISTRIBUTION = "deepspeech2"
"""The name that pip knows; the package and the command are called ds2."""


def install_command(*extras: str) -> str:
    """What to type to have these extras, say "train" and "serve", beside what is there.

    It names the place that this ds2 came from: a checkout, a wheel, or the package index.
    """
    chosen = ",".join(extras)
    checkout = _checkout()
    if checkout is not None:
        return f"pip install -e '{checkout}[{chosen}]'"
    return f"pip install '{_local_source() or DISTRIBUTION}[{chosen}]'"


@contextmanager
def needing(*extras: str, told: str) -> Iterator[None]:
    """Import libraries of these extras inside; InputError tells what to type for a missing one.

    told: what is missing them, say "training".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "ds2":  # a fault of ours
            raise
        raise InputError(f"{told} needs {error.name}: {install_command(*extras)}") from None


def _checkout() -> Path | None:
    """The directory of the sources, where this file is run from them."""
    directory = Path(__file__).resolve().parents[2]
    try:
        settings = (directory / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return None
    return directory if f'name = "{DISTRIBUTION}"' in settings else None


def _local_source() -> Path | None:
    """The directory or wheel that pip installed this ds2 from, if it is still there."""
    try:
        text = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
        url = urlsplit(json.loads(text or "{}").get("url", ""))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
    path = Path(unquote(url.path))
    return path if url.scheme == "file" and path.exists() else None
