"""`ds2 serve`: live speech and recordings to text, for many clients at once."""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.options.computing import add_computing
from ds2.cli.options.decoding import add_decoding, load_recognizer
from ds2.cli.options.live import add_vad
from ds2.cli.screen.terminal import positive
from ds2.errors import InputError
from ds2.installation import needing
from ds2.model.places import DEFAULT_MODEL

if TYPE_CHECKING:
    from ds2.recognition.recognizer import Recognizer
    from ds2.serving.config import ServeSettings

KEYS_VARIABLE = "DS2_API_KEYS"
"""Of the environment: keys, parted by commas."""
RAY_OPTIONS = (
    *("replicas", "min_replicas", "max_replicas"),
    *("streams_per_replica", "downscale_delay_s"),
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "serve",
        help="live speech and recordings to text, for many clients at once",
        description="Serve models over HTTP and WebSockets: our own protocol, OpenAI's, "
        "Deepgram's, those of vosk-server and sherpa-onnx, and a web page. "
        "docs/how-to/serving.md tells more. SIGTERM lets what runs end, and stops.",
    )
    parser.add_argument(
        "-m",
        "--model",
        dest="models",
        action="append",
        metavar="[NAME=]MODEL",
        help="a bundle's directory, or a name that `ds2 models` lists (en; for Mandarin, zh); may "
        "be repeated, the first is the default",
    )
    _add_places(parser.add_argument_group("where"))
    _add_work(parser.add_argument_group("work"))
    _add_limits(parser.add_argument_group("limits"))
    _add_access(parser.add_argument_group("access"))
    _add_ray(parser.add_argument_group("many replicas"))
    add_vad(parser)
    parser.add_argument(
        "--log-transcripts",
        action="store_true",
        default=argparse.SUPPRESS,
        help="write what was said into the log, too",
    )
    add_computing(parser)
    add_decoding(parser)
    parser.set_defaults(run=run)


def _add_places(group: "argparse._ArgumentGroup") -> None:
    _add(group, "host", str, "ADDRESS", "to listen on (127.0.0.1); 0.0.0.0 is all")
    _add(group, "port", int, "N", "of everything (8000); 0 is any that is free")
    _add(group, "tls-cert", Path, "FILE", "certificates, PEM; with --tls-key")
    _add(group, "tls-key", Path, "FILE", "their private key")


def _add_work(group: "argparse._ArgumentGroup") -> None:
    _add(group, "workers", positive, "N", "processes, each with a replica of every model (1)")
    _add(group, "num-threads", int, "N", "cores for a step of a model (1); 0 is all")
    _add(group, "decode-threads", positive, "N", "that decode what a step gives (1)")
    _add(group, "batch-size", positive, "N", "most streams in a step (32)")
    _add(group, "chunk-ms", float, "MS", "audio of a stream in a step (120); less is sooner")


def _add_limits(group: "argparse._ArgumentGroup") -> None:
    _add(group, "max-streams", positive, "N", "most at once in a process, uploads too (64)")
    _add(group, "max-buffer-s", float, "S", "audio of a stream that waits, before it is held (8)")
    _add(group, "idle-timeout-s", float, "S", "ends connections and uploads that send nothing (60)")
    _add(group, "max-message-bytes", positive, "N", "of a WebSocket message (1048576)")
    _add(group, "max-upload-bytes", positive, "N", "of a request (209715200)")
    _add(group, "max-upload-s", float, "S", "audio in an upload (14400)")
    _add(
        group,
        "requests-per-minute",
        float,
        "N",
        "of a key, or of an address where there are no keys; a WebSocket is one (no limit)",
    )
    _add(group, "drain-s", float, "S", "for streams to end by themselves at a shutdown (30)")


def _add_access(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--api-keys",
        dest="keys_file",
        type=Path,
        metavar="FILE",
        help=f"only for who has one of these keys, one a line; or {KEYS_VARIABLE} in the "
        "environment, parted by commas",
    )
    group.add_argument(
        "--allow-origin",
        dest="allowed_origins",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="web pages of https://host may connect; may be repeated; * is all (none but ours)",
    )
    group.add_argument(
        "--allow-host",
        dest="allowed_hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="requests may name this host, as behind a proxy; may be repeated; * is all "
        "(on 127.0.0.1 addresses and localhost, else all)",
    )


def _add_ray(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="replicas on a Ray cluster: its address, or auto, or nothing for one on this machine "
        "alone; docs/how-to/deploying.md tells more",
    )
    _add(group, "replicas", positive, "N", "on all machines together, with --ray (2)")
    _add(group, "min-replicas", positive, "N", "the fewest, where the streams set their number")
    _add(group, "max-replicas", positive, "N", "the most")
    _add(group, "streams-per-replica", positive, "N", "which their number aims at (16)")
    _add(group, "downscale-delay-s", float, "S", "before a replica too many is stopped (300)")


def _add(
    group: "argparse._ArgumentGroup",
    name: str,
    kind: Callable[[str], object],
    metavar: str,
    told: str,
) -> None:
    """An option of the name of a setting; left out, the setting's default."""
    group.add_argument(
        f"--{name}", type=kind, default=argparse.SUPPRESS, metavar=metavar, help=told
    )


def run(args: argparse.Namespace) -> None:
    """Serve until a signal. Raises InputError."""
    with needing("serve", told="serve"):
        from ds2.serving.server import serve

    settings = _settings(args)
    models = _named(args.models or [DEFAULT_MODEL])
    if args.ray is None:
        _refuse_ray_options(args)
        serve(partial(_load, models, args), settings)
    else:
        _serve_on_ray(models, args, settings)


def _serve_on_ray(
    models: dict[str, str], args: argparse.Namespace, settings: "ServeSettings"
) -> None:
    from ds2.serving.ray.deployment import LOCAL, Scale, serve_on_ray

    if args.ray == LOCAL:  # the models of another machine are its own affair
        models = {name: str(_find(path)) for name, path in models.items()}
    given = {name: value for name, value in vars(args).items() if name in RAY_OPTIONS}
    if "replicas" in given:
        number = given.pop("replicas")
        if {"min_replicas", "max_replicas"} & set(given):
            raise InputError("--replicas: is both --min-replicas and --max-replicas: leave it out")
        given |= {"min_replicas": number, "max_replicas": number}
    elif "max_replicas" in given:
        given.setdefault("min_replicas", 1)
    elif "min_replicas" in given:
        raise InputError("--min-replicas: needs --max-replicas, or is --replicas meant?")
    try:
        scale = Scale(address=args.ray, **given)
    except ValueError as error:
        raise _naming_option(error) from None
    serve_on_ray(partial(_load, models, args), settings, scale)


def _find(path: str) -> Path:
    """A model's directory, whatever directory its user is in. Raises InputError."""
    from ds2.model.bundle import find_bundle

    found = find_bundle(path).absolute()
    if not found.is_dir():
        raise InputError(f"{path}: no such directory")
    return found


def _refuse_ray_options(args: argparse.Namespace) -> None:
    for name in RAY_OPTIONS:
        if hasattr(args, name):
            raise InputError(f"--{name.replace('_', '-')}: is an option of --ray: add that")


def _naming_option(error: ValueError) -> InputError:
    """The error of a setting as one of the option of its name."""
    name, _, told = str(error).partition(":")
    return InputError(f"--{name.replace('_', '-')}:{told}")


def _settings(args: argparse.Namespace) -> "ServeSettings":
    from ds2.serving.access.keys import check_keys, read_keys
    from ds2.serving.config import ServeSettings

    keys = read_keys(args.keys_file) if args.keys_file else ()
    given = [key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key.strip()]
    check_keys((*keys, *given), str(args.keys_file or KEYS_VARIABLE))
    names = {field.name for field in fields(ServeSettings)}
    values = {name: value for name, value in vars(args).items() if name in names}
    values["allowed_origins"] = tuple(args.allowed_origins)
    values["allowed_hosts"] = tuple(args.allowed_hosts)
    try:
        return ServeSettings(**values, api_keys=(*keys, *given))
    except ValueError as error:
        raise _naming_option(error) from None


def _named(models: list[str]) -> dict[str, str]:
    """Bundles by the names that clients give: the directory's, unless said otherwise."""
    named: dict[str, str] = {}
    for text in models:
        name, equals, path = text.partition("=")
        name, path = (name, path) if equals else (Path(text).name, text)
        if not name or name in named:
            raise InputError(f"--model {text}: needs a name of its own: write NAME={path or text}")
        named[name] = path
    return named


def _load(models: Mapping[str, str], args: argparse.Namespace) -> "dict[str, Recognizer]":
    """The recognisers; what is asked of the search is asked of each."""
    num_threads = getattr(args, "num_threads", 1)
    return {
        name: load_recognizer(
            argparse.Namespace(**{**vars(args), "model": path}), num_threads=num_threads
        )
        for name, path in models.items()
    }
