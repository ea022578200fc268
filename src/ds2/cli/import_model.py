"""`ds2 import`: makes a bundle from a checkpoint of another toolkit."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.errors import InputError
from ds2.installation import needing

if TYPE_CHECKING:
    from ds2.importing.writing import Imported

LICENCES = {
    "paddlespeech": "unknown (PaddleSpeech itself: Apache-2.0)",
    "deepspeech.pytorch": "unknown (deepspeech.pytorch itself: MIT)",
    "masr": "unknown (MASR itself: Apache-2.0)",
    "ppasr": "unknown (PPASR itself: Apache-2.0)",
}
"""The licences in bundles without --licence."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "import",
        help="make a bundle from another toolkit's Deep Speech 2 model",
        description="Read a Deep Speech 2 model that another toolkit trained, and write it as a "
        "bundle. ds2 never runs code from a checkpoint. docs/how-to/published-models.md lists the "
        "published models.",
        explain=_explain,
    )
    toolkits = parser.add_subparsers(dest="toolkit", metavar="TOOLKIT", required=True)
    paddlespeech = _add_paddlespeech(toolkits)
    pytorch = toolkits.add_parser(
        "deepspeech.pytorch",
        help="import a .pth or .ckpt file of deepspeech.pytorch",
        description="Read a checkpoint of deepspeech.pytorch (.pth of version 2, .ckpt of version "
        "3), and write a bundle. This needs torch.",
    )
    pytorch.add_argument("source", type=Path, metavar="FILE", help="the checkpoint")
    parsers = [paddlespeech, pytorch]
    for name, file in (("masr", "model.pt"), ("ppasr", "model.pdparams")):
        other = toolkits.add_parser(
            name,
            help=f"import a {file} of {name.upper()}",
            description=f"Read a checkpoint of {name.upper()}'s deepspeech2 with its configuration "
            "and vocabulary, and write a bundle."
            + (" This needs torch." if name == "masr" else ""),
        )
        other.add_argument("source", type=Path, metavar="FILE", help="the checkpoint")
        other.add_argument(
            "--config",
            type=Path,
            required=True,
            metavar="YAML",
            help="the model's configuration, such as deepspeech2.yml",
        )
        other.add_argument(
            "--vocabulary",
            type=Path,
            required=True,
            metavar="TXT",
            help="the model's vocabulary, such as vocabulary.txt",
        )
        parsers.append(other)
    for other in parsers:
        _add_shared(other)
    parser.set_defaults(run=run)


def _add_paddlespeech(
    toolkits: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = toolkits.add_parser(
        "paddlespeech",
        help="import an unpacked archive of PaddleSpeech",
        description="Read an unpacked archive of PaddleSpeech, and write a bundle. The archive "
        "holds model.yaml or conf/deepspeech2*.yaml, a .pdparams file, and the preprocessing, "
        "vocabulary and mean_std.json that the configuration names.",
    )
    parser.add_argument("source", type=Path, metavar="DIR", help="the unpacked archive")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="YAML",
        help="configuration, if there are several (default: the only one)",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PDPARAMS",
        help="weights, if there are several (default: the only file)",
    )
    return parser


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="BUNDLE", help="the bundle to write"
    )
    parser.add_argument(
        "--weights",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="number type of the stored weights (default: float32)",
    )
    parser.add_argument(
        "--licence",
        help="name of the model's licence, for the bundle (default: unknown, with the toolkit's)",
    )


def run(args: argparse.Namespace) -> None:
    """Read the checkpoint, write the bundle, and print its facts."""
    wrong = _recordings_in(args.source)
    if wrong:
        raise InputError(wrong)
    with needing("import", told="import"):
        from ds2.importing import files  # noqa: F401
        from ds2.importing.writing import write_imported
    with needing("train", "import", told=f"reading a checkpoint of {args.toolkit}"):
        imported = _read(args)
    licence = args.licence or LICENCES[args.toolkit]
    bundle = write_imported(imported, args.output, precision=args.weights, licence=licence)
    kind = "streams" if bundle.model.streaming else "takes whole utterances"
    print(
        f"{bundle.path}: {bundle.model.description}; {len(bundle.alphabet)} labels "
        f"({bundle.language}); {kind}; {bundle.num_bytes / 1e6:.1f} MB"
    )


def _recordings_in(source: Path) -> str:
    """What to say of recordings in the place of a checkpoint; "" where it is none of them."""
    from ds2.corpora.importing.recordings import find_recording
    from ds2.importing.files import find_checkpoint

    recording = None if find_checkpoint(source) else find_recording(source)
    if recording is None:
        return ""
    if recording == source:
        return f"{source}: is a recording: ds2 corpus import makes a manifest of a folder of them"
    return (
        f"{source}: holds recordings ({recording.name}) and no checkpoint: "
        f"ds2 corpus import {source} makes a manifest of them"
    )


def _explain(word: str) -> str:
    """What is wrong with a path in the place of a toolkit's name; "" for what is no path."""
    source = Path(word)
    if not source.exists():
        return ""
    return _recordings_in(source) or (
        f"{word}: name its toolkit first, one of {', '.join(LICENCES)}: "
        f"ds2 import {next(iter(LICENCES))} {word} -o BUNDLE"
    )


def _read(args: argparse.Namespace) -> "Imported":
    from ds2.importing.deepspeech_pytorch import read_deepspeech_pytorch
    from ds2.importing.masr import read_masr
    from ds2.importing.paddlespeech import read_paddlespeech
    from ds2.importing.pickles import read_arrays

    if args.toolkit == "paddlespeech":
        return read_paddlespeech(args.source, config=args.config, checkpoint=args.checkpoint)
    if args.toolkit == "ppasr":
        arrays: dict[str, Any] = read_arrays(args.source)
        return read_masr(
            "PPASR", args.source, arrays, config=args.config, vocabulary=args.vocabulary
        )
    from ds2.training.foreign import read_torch

    content = read_torch(args.source)
    if args.toolkit == "masr":
        return read_masr(
            "MASR", args.source, content, config=args.config, vocabulary=args.vocabulary
        )
    return read_deepspeech_pytorch(args.source, content)
