"""Runs lhotse's preparers of public corpora. Only this module knows lhotse.

lhotse needs torch, so this imports it only when a preparer runs. The preparers skip missing files
with a line in the log. They stop at the first unreadable file, and give reasons in assertions. This
module collects the log, and turns each exception into one line.
"""

import contextlib
import inspect
import io
import json
import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ds2.audio import find_audio, probe_audio
from ds2.corpora.public.found import Found
from ds2.errors import InputError
from ds2.installation import install_command
from ds2.manifest import read_manifest
from ds2.manifest.utterance import Utterance

LANGUAGES = {
    "english": "en",
    "chinese": "zh",
    "mandarin": "zh",
    "hebrew": "he",
    "cantonese": "yue",
    "japanese": "ja",
    "korean": "ko",
    "german": "de",
    "french": "fr",
    "spanish": "es",
}
"""Codes for the names of languages in lhotse's preparers."""


def recipe_names() -> dict[str, bool]:
    """The corpora that lhotse prepares, and whether it can download them. Raises InputError."""
    recipes = _recipes()
    names = [name.removeprefix("prepare_") for name in dir(recipes) if name.startswith("prepare_")]
    return {name: hasattr(recipes, f"download_{name}") for name in sorted(names)}


def download(name: str, directory: Path) -> Path:
    """Let lhotse download and unpack a corpus below the directory. Returns the corpus's root.

    Raises InputError.
    """
    fetch = getattr(_recipes(), f"download_{name}", None)
    if fetch is None:
        raise InputError(
            f"--download: ds2 cannot download {name}: get a copy from its makers and name its "
            "directory"
        )
    with _quiet(), _one_line(name, directory, "download"):
        root = fetch(directory)
    return root.absolute() if isinstance(root, Path) else directory.absolute()


def prepare(name: str, root: Path, options: Mapping[str, Any]) -> dict[str, Found]:
    """The utterances that lhotse's preparer finds below the root, by split ("all" for only one).

    options: arguments of the preparer, besides the directory. Raises InputError.
    """
    function = getattr(_recipes(), f"prepare_{name}")
    with tempfile.TemporaryDirectory() as temporary:
        arguments = _arguments(function, name, root, options, Path(temporary))
        with _quiet(), _logged() as log, _one_line(name, root, "preparer"), _libsndfile_first():
            result = function(**arguments)
            parts = dict(_parts(result))
            if not parts:
                raise InputError(f"{root}: lhotse's preparer of {name} gives no list of recordings")
            missing = [line.split("No such file: ", 1)[1] for line in log if "No such file" in line]
            return {
                part: Found(_utterances(manifests, name), missing=missing)
                for part, manifests in parts.items()
            }


def _recipes() -> ModuleType:
    try:
        import lhotse.recipes
    except ImportError as error:
        raise InputError(
            f"this corpus needs lhotse, but ds2 cannot import lhotse ({error}): "
            f"{install_command('corpora')}"
        ) from None
    module: ModuleType = lhotse.recipes
    return module


def _arguments(
    function: Callable[..., Any],
    name: str,
    root: Path,
    options: Mapping[str, Any],
    temporary: Path,
) -> dict[str, Any]:
    """The arguments for the preparer. Its first parameter is the corpus's directory."""
    parameters = inspect.signature(function).parameters
    first = next(iter(parameters))
    for key in options:
        if key not in parameters:
            there = ", ".join(list(parameters)[1:])
            raise InputError(f"--option {key}: lhotse's preparer of {name} takes {there}")
    arguments = {first: root, **options}
    for key, parameter in parameters.items():
        if key in ("output_dir", "manifest_dir") and parameter.default is parameter.empty:
            arguments.setdefault(key, temporary)
        elif parameter.default is parameter.empty and key not in arguments:
            raise InputError(
                f"{name}: lhotse's preparer also needs {key}: add --option {key}=VALUE"
            )
    return arguments


def _parts(result: Any, name: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The pairs of manifests in a preparer's result, each with the name of its split."""
    if not isinstance(result, Mapping):
        return
    if result.get("recordings") is not None:
        yield name or "all", result
        return
    for key, inner in result.items():
        yield from _parts(inner, f"{name}-{key}" if name else str(key))


def _utterances(manifests: Mapping[str, Any], name: str) -> list[Utterance]:
    """The utterances of a pair of lhotse's manifests, in the order of their files.

    A corpus of noise has only recordings. Each becomes an utterance without text.
    """
    recordings, supervisions = manifests["recordings"], manifests.get("supervisions")
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        _write_lines(directory / "recordings.jsonl", recordings)
        if supervisions is None:
            found = [
                Utterance(Path(item.sources[0].source).absolute(), item.duration)
                for item in recordings
            ]
        elif _write_lines(directory / "supervisions.jsonl", supervisions):
            found = read_manifest(directory, on_error=_refuse)
        else:
            found = []
    return sorted((_named(item, name) for item in found), key=lambda u: (u.audio_path, u.offset_s))


def _write_lines(path: Path, items: Any) -> int:
    """Write one JSON object on each line, and return their number."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            file.write(json.dumps(item.to_dict(), ensure_ascii=False, default=str) + "\n")
            count += 1
    return count


def _refuse(error: InputError) -> None:
    """Raise the error without its place, which is a line of a temporary file."""
    raise InputError(str(error).split(": ", 1)[1])


def _named(utterance: Utterance, source: str) -> Utterance:
    language = utterance.language and LANGUAGES.get(utterance.language.lower(), utterance.language)
    extra = {key: value for key, value in utterance.extra.items() if value is not None}
    return replace(utterance, language=language, extra={**extra, "source": source})


@contextlib.contextmanager
def _logged() -> Iterator[list[str]]:
    """Collect the warnings that are logged inside."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)


@contextlib.contextmanager
def _libsndfile_first() -> Iterator[None]:
    """Let lhotse try libsndfile first, because it opens SPHERE files.

    Otherwise lhotse would run the program sph2pipe on each whole file, and this program may be
    missing.
    """
    from lhotse.audio import backend

    before = backend.get_current_audio_backend()
    backend.set_current_audio_backend(
        backend.CompositeAudioBackend([backend.LibsndfileBackend(), before])
    )
    try:
        yield
    finally:
        backend.set_current_audio_backend(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide lhotse's progress bars."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _one_line(name: str, root: Path, what: str) -> Iterator[None]:
    """Turn all errors of lhotse into InputError. It names the faulty file, if there is one."""
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"lhotse's {what} of {name} needs {error.name or error}: install it (pip install "
            f"{error.name or '...'})"
        ) from None
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename or error}: is missing: the copy of {name} is incomplete"
        ) from None
    except Exception as error:
        if what == "preparer":
            _name_damaged(root)
        raise InputError(f"{root}: lhotse's {what} of {name} stopped: {_brief(error)}") from None


def _name_damaged(root: Path) -> None:
    """Raise InputError for the first unreadable recording below the root, if there is one."""
    with contextlib.suppress(InputError):
        for path in find_audio(root):
            try:
                probe_audio(path)
            except InputError as error:
                damaged = error
                break
        else:
            return
    raise InputError(
        f"{damaged}: the copy is damaged: download it again, or move the file away and use "
        "--allow-incomplete"
    )


def _brief(error: Exception) -> str:
    """The error's text in one line, with its type if that says more."""
    text = " ".join(str(error).split())
    kind = type(error).__name__
    text = text if len(text) <= 200 else text[:197] + "..."
    if isinstance(error, AssertionError) and text:
        return text
    return re.sub(r"^(\w+): \1: ", r"\1: ", f"{kind}: {text}" if text else kind)
