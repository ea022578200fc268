"""`ds2 models`: lists the installed models, and installs others from archives."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.cli.screen.terminal import complain
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.model.bundle import Bundle


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "models",
        help="list the installed models, or install others",
        description="List the models that -m takes by name. ds2 looks in four places. The first is "
        "the directory in the environment variable DS2_MODELS. The others are ./models, your data "
        "directory, and the models that come with ds2. `ds2 models get` installs into your data "
        "directory. If two models have one name, ds2 takes the first.",
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    _add_get(actions)
    parser.set_defaults(run=run, act=_list)


def run(args: argparse.Namespace) -> None:
    """Run the action. Without an action, list the models."""
    act: Callable[[argparse.Namespace], None] = args.act
    act(args)


def _add_get(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = actions.add_parser(
        "get",
        help="install a model from an archive",
        description="Read or download an archive of one bundle (.tar.gz, .tar.xz or .zip), and "
        "verify the checksums. Then install the bundle in your data directory. ds2 refuses an "
        "archive that holds several bundles or would write elsewhere.",
    )
    parser.add_argument("source", metavar="URL|FILE", help="the archive: a URL or a file")
    parser.add_argument(
        "--sha256",
        type=_sha256,
        metavar="HEX",
        help="SHA-256 of the archive, which ds2 compares; an http:// URL needs it (default: do not "
        "compare)",
    )
    parser.add_argument(
        "--name", help="name of the model for -m (default: the name in the archive)"
    )
    parser.set_defaults(act=_get)


def _list(args: argparse.Namespace) -> None:
    rows, problems = _rows()
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    elif rows:
        _print_table(rows)
    for problem in problems:
        complain(problem)
    if not rows:
        from ds2.model.places import model_places

        looked = ", ".join(map(str, model_places()))
        raise InputError(f"found no models in {looked}: `ds2 models get` installs one")


def _rows() -> tuple[list[dict[str, Any]], list[str]]:
    """The facts about each model, and problems with the others."""
    from ds2.model.bundle import load_bundle
    from ds2.model.places import named_models

    rows, problems = [], []
    for name, path in named_models():
        try:
            rows.append({"name": name, **_facts(load_bundle(path))})
        except InputError as error:
            problems.append(str(error))
    return rows, problems


def _facts(bundle: "Bundle") -> dict[str, Any]:
    """The list's facts about a model. The error rate is the one on its development set."""
    measure = "wer" if bundle.alphabet.word_unit == "word" else "cer"
    dev = bundle.training.get("dev")
    rate = dev.get(f"greedy_{measure}") if isinstance(dev, dict) else None
    return {
        "language": bundle.language,
        "num_bytes": bundle.num_bytes,
        "measure": measure,
        "greedy_dev_error": rate if isinstance(rate, int | float) else None,
        "has_lm": bundle.lm is not None,
        "latency_s": bundle.latency_s,
        "path": str(bundle.path.absolute()),
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "language", "size", "greedy error", "streaming", "path"):
        table.add_column(heading, overflow="fold" if heading == "path" else "ellipsis")
    for row in rows:
        rate, latency_s = row["greedy_dev_error"], row["latency_s"]
        table.add_row(
            row["name"],
            row["language"],
            f"{row['num_bytes'] / 1e6:.1f} MB",
            "unknown" if rate is None else f"{100 * rate:.1f}% {row['measure'].upper()}",
            "no" if latency_s is None else f"yes, {1000 * latency_s:.0f} ms",
            row["path"],
        )
    width = None if sys.stdout.isatty() else 1000  # a pipe needs no folded paths
    Console(width=width).print(table)


def _get(args: argparse.Namespace) -> None:
    from ds2.model.archive import install_archive
    from ds2.model.places import data_directory

    directory = data_directory()
    if "://" in args.source:
        archive = _fetched(args.source, directory, args.sha256)
        try:
            bundle = install_archive(archive, directory, args.name)
        finally:
            archive.unlink(missing_ok=True)
            archive.parent.rmdir()
    else:
        _verify(Path(args.source), args.sha256)
        bundle = install_archive(Path(args.source), directory, args.name)
    print(f"{bundle.path}: {bundle.model.description}; use it with -m {bundle.path.name}")


def _fetched(url: str, directory: Path, sha256: str | None) -> Path:
    """Download an archive into a directory of its own. Raises InputError."""
    import hashlib
    from urllib.parse import urlsplit

    from ds2.cli.screen.terminal import progress
    from ds2.corpora.public.download import Archive, fetch_archive

    if not url.startswith(("https://", "http://")):
        raise InputError(f"{url}: give a file, or a URL that begins with https://")
    if url.startswith("http://") and sha256 is None:
        raise InputError(
            f"{url}: somebody could change it on its way: give --sha256 or an https:// URL"
        )
    # The URL is in the name, so that a part of another archive never becomes a part of this one.
    place = directory / f".fetching-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{directory}: cannot be written: {reason}") from None
    path = place / (Path(urlsplit(url).path).name or "archive")
    with progress() as report:
        fetch_archive(Archive(url, sha256=sha256), path, report, advice="give another URL")
    return path


def _verify(archive: Path, sha256: str | None) -> None:
    """Raise InputError unless the file has this checksum."""
    import hashlib

    if sha256 is None:
        return
    try:
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{archive}: {(error.strerror or str(error)).lower()}") from None
    if found != sha256:
        raise InputError(f"{archive}: is not the file of --sha256: its SHA-256 is {found}")


def _sha256(text: str) -> str:
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"must be 64 hexadecimal digits, not {text}")
    return text.lower()
