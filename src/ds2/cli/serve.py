"""`ds2 serve`: recognises live speech and recordings for many clients at once."""

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
"""The environment variable with API keys, separated by commas."""
RAY_OPTIONS = (
    *("replicas", "min_replicas", "max_replicas"),
    *("streams_per_replica", "downscale_delay_s"),
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "serve",
        help="serve many clients: turn live speech and recordings into text",
        description="Serve models over HTTP and WebSockets. The server speaks its own protocol and "
        "those of OpenAI, Deepgram, vosk-server and sherpa-onnx, and it has a web page. On SIGTERM "
        "it finishes the streams that are open, then stops. docs/how-to/serving.md explains more.",
    )
    parser.add_argument(
        "-m",
        "--model",
        dest="models",
        action="append",
        metavar="[NAME=]MODEL",
        help="model to serve: a name that `ds2 models` lists, or a bundle's directory; NAME is the "
        "name for clients; may be repeated, and clients that name no model get the first "
        "(default: en)",
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
        help="write the recognised text into the log",
    )
    add_computing(parser)
    add_decoding(parser)
    parser.set_defaults(run=run)


def _add_places(group: "argparse._ArgumentGroup") -> None:
    _add(
        group,
        "host",
        str,
        "ADDRESS",
        "address to listen on; 0.0.0.0 is all addresses (default: 127.0.0.1)",
    )
    _add(group, "port", int, "N", "port to listen on; 0 takes any free port (default: 8000)")
    _add(
        group,
        "tls-cert",
        Path,
        "FILE",
        "PEM file with the certificates for TLS; needs --tls-key (default: no TLS)",
    )
    _add(
        group,
        "tls-key",
        Path,
        "FILE",
        "PEM file with the private key of --tls-cert (default: no TLS)",
    )


def _add_work(group: "argparse._ArgumentGroup") -> None:
    _add(
        group, "workers", positive, "N", "number of processes; each holds every model (default: 1)"
    )
    _add(
        group,
        "num-threads",
        int,
        "N",
        "number of processor cores for a step of a model; 0 is all (default: 1)",
    )
    _add(
        group,
        "decode-threads",
        positive,
        "N",
        "number of threads that decode the output of a step (default: 1)",
    )
    _add(group, "batch-size", positive, "N", "most streams in a step of a model (default: 32)")
    _add(
        group,
        "chunk-ms",
        float,
        "MS",
        "audio of each stream in a step, in milliseconds; with less, text comes sooner but costs "
        "more work (default: 120)",
    )


def _add_limits(group: "argparse._ArgumentGroup") -> None:
    _add(
        group,
        "max-streams",
        positive,
        "N",
        "most streams and uploads at once in each process (default: 64)",
    )
    _add(
        group,
        "max-buffer-s",
        float,
        "S",
        "most audio of a stream that may wait for recognition, in seconds; then its client has to "
        "wait (default: 8)",
    )
    _add(
        group,
        "idle-timeout-s",
        float,
        "S",
        "seconds without data after which the server ends a connection or an upload (default: 60)",
    )
    _add(
        group,
        "max-message-bytes",
        positive,
        "N",
        "largest WebSocket message, in bytes (default: 1048576)",
    )
    _add(
        group,
        "max-upload-bytes",
        positive,
        "N",
        "largest body of a request, in bytes (default: 209715200)",
    )
    _add(
        group, "max-upload-s", float, "S", "longest audio in an upload, in seconds (default: 14400)"
    )
    _add(
        group,
        "requests-per-minute",
        float,
        "N",
        "most requests a minute for each API key, or for each client address where the server has "
        "no keys; a WebSocket counts as one request (default: no limit)",
    )
    _add(
        group,
        "drain-s",
        float,
        "S",
        "seconds that open streams have to end at a shutdown (default: 30)",
    )


def _add_access(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--api-keys",
        dest="keys_file",
        type=Path,
        metavar="FILE",
        help=f"file with the API keys that clients must have, one on each line; {KEYS_VARIABLE} in "
        "the environment may hold keys, too, separated by commas (default: no key needed)",
    )
    group.add_argument(
        "--allow-origin",
        dest="allowed_origins",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="allow web pages of this origin, such as https://example.org, to connect; * allows "
        "all; may be repeated (default: the server's own page only)",
    )
    group.add_argument(
        "--allow-host",
        dest="allowed_hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="allow requests to this host name, for example the public name of a proxy; * allows "
        "all; may be repeated (default: addresses and localhost if the server listens on "
        "127.0.0.1, else all)",
    )


def _add_ray(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="run replicas on a Ray cluster: its address, or auto; without a value ds2 starts a "
        "cluster on this machine; docs/how-to/deploying.md explains more (default: no cluster)",
    )
    _add(
        group,
        "replicas",
        positive,
        "N",
        "with --ray: number of replicas on all machines together (default: 2)",
    )
    _add(
        group,
        "min-replicas",
        positive,
        "N",
        "with --ray: fewest replicas, if the load sets their number; needs --max-replicas "
        "(default: as --replicas, or 1 with --max-replicas)",
    )
    _add(
        group,
        "max-replicas",
        positive,
        "N",
        "with --ray: most replicas, if the load sets their number (default: as --replicas)",
    )
    _add(
        group,
        "streams-per-replica",
        positive,
        "N",
        "with --ray: number of streams for each replica, on average (default: 16)",
    )
    _add(
        group,
        "downscale-delay-s",
        float,
        "S",
        "with --ray: seconds before ds2 stops a replica that it does not need (default: 300)",
    )


def _add(
    group: "argparse._ArgumentGroup",
    name: str,
    kind: Callable[[str], object],
    metavar: str,
    told: str,
) -> None:
    """Add an option with the name of a setting. The setting has the default."""
    group.add_argument(
        f"--{name}", type=kind, default=argparse.SUPPRESS, metavar=metavar, help=told
    )


def run(args: argparse.Namespace) -> None:
    """Serve until a signal comes. Raises InputError."""
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

    if args.ray == LOCAL:  # another machine finds its models itself
        models = {name: str(_find(path)) for name, path in models.items()}
    given = {name: value for name, value in vars(args).items() if name in RAY_OPTIONS}
    if "replicas" in given:
        number = given.pop("replicas")
        if {"min_replicas", "max_replicas"} & set(given):
            raise InputError(
                "--replicas: sets both --min-replicas and --max-replicas: leave it out"
            )
        given |= {"min_replicas": number, "max_replicas": number}
    elif "max_replicas" in given:
        given.setdefault("min_replicas", 1)
    elif "min_replicas" in given:
        raise InputError("--min-replicas: needs --max-replicas; for a fixed number give --replicas")
    try:
        scale = Scale(address=args.ray, **given)
    except ValueError as error:
        raise _naming_option(error) from None
    serve_on_ray(partial(_load, models, args), settings, scale)


def _find(path: str) -> Path:
    """The absolute path of a model's directory. Raises InputError."""
    from ds2.model.bundle import find_bundle

    found = find_bundle(path).absolute()
    if not found.is_dir():
        raise InputError(f"{path}: no such directory")
    return found


def _refuse_ray_options(args: argparse.Namespace) -> None:
    for name in RAY_OPTIONS:
        if hasattr(args, name):
            raise InputError(f"--{name.replace('_', '-')}: works with --ray only: add --ray")


def _naming_option(error: ValueError) -> InputError:
    """The error of a setting as the error of the option with its name."""
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
    """Bundles by the names for clients. Without NAME= this is the name of the directory."""
    named: dict[str, str] = {}
    for text in models:
        name, equals, path = text.partition("=")
        name, path = (name, path) if equals else (Path(text).name, text)
        if not name or name in named:
            raise InputError(
                f"--model {text}: every model needs a name of its own: write NAME={path or text}"
            )
        named[name] = path
    return named


def _load(models: Mapping[str, str], args: argparse.Namespace) -> "dict[str, Recognizer]":
    """The recognisers by name. All of them take the options of the search."""
    num_threads = getattr(args, "num_threads", 1)
    return {
        name: load_recognizer(
            argparse.Namespace(**{**vars(args), "model": path}), num_threads=num_threads
        )
        for name, path in models.items()
    }
