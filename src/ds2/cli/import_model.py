"""`ds2 import`: a checkpoint of another toolkit becomes a bundle."""

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
"""What a bundle says unless --licence tells."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "import",
        help="make a bundle of another toolkit's Deep Speech 2 model",
        description="Make a bundle of a Deep Speech 2 model that another toolkit has trained. No "
        "code of a checkpoint is run. docs/how-to/published-models.md tells which models "
        "there are.",
        explain=_explain,
    )
    toolkits = parser.add_subparsers(dest="toolkit", metavar="TOOLKIT", required=True)
    paddlespeech = toolkits.add_parser(
        "paddlespeech",
        help="an unpacked archive of PaddleSpeech",
        description="An unpacked archive as PaddleSpeech publishes them: model.yaml or "
        "conf/deepspeech2*.yaml, the preprocessing, vocabulary and mean_std.json that it names, "
        "and a .pdparams file.",
    )
    paddlespeech.add_argument("source", type=Path, metavar="DIR", help="the unpacked archive")
    paddlespeech.add_argument("--config", type=Path, metavar="YAML", help="which of several")
    paddlespeech.add_argument("--checkpoint", type=Path, metavar="PDPARAMS", help="the same")
    pytorch = toolkits.add_parser(
        "deepspeech.pytorch",
        help="a .pth or .ckpt file of deepspeech.pytorch",
        description="A checkpoint of deepspeech.pytorch: .pth of its version 2, .ckpt of its "
        "version 3. Needs torch.",
    )
    pytorch.add_argument("source", type=Path, metavar="FILE", help="the checkpoint")
    parsers = [paddlespeech, pytorch]
    for name, file in (("masr", "model.pt"), ("ppasr", "model.pdparams")):
        other = toolkits.add_parser(
            name,
            help=f"a {file} of {name.upper()}",
            description=f"A checkpoint of {name.upper()}'s deepspeech2 with its configuration and "
            "vocabulary." + (" Needs torch." if name == "masr" else ""),
        )
        other.add_argument("source", type=Path, metavar="FILE", help="the checkpoint")
        other.add_argument(
            "--config", type=Path, required=True, metavar="YAML", help="configs/deepspeech2.yml"
        )
        other.add_argument(
            "--vocabulary", type=Path, required=True, metavar="TXT", help="vocabulary.txt"
        )
        parsers.append(other)
    for other in parsers:
        _add_shared(other)
    parser.set_defaults(run=run)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="BUNDLE", help="the bundle to write"
    )
    parser.add_argument(
        "--weights",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="how weights are stored; arithmetic is float32 (float32)",
    )
    parser.add_argument("--licence", help="of the model, kept in the bundle: a name")


def run(args: argparse.Namespace) -> None:
    """Read, write, and say what was written."""
    wrong = _recordings_in(args.source)
    if wrong:
        raise InputError(wrong)
    with needing("import", told="import"):
        from ds2.importing import files  # noqa: F401
        from ds2.importing.writing import write_imported
    with needing("train", "import", told=f"reading what {args.toolkit} saves"):
        imported = _read(args)
    licence = args.licence or LICENCES[args.toolkit]
    bundle = write_imported(imported, args.output, precision=args.weights, licence=licence)
    size_mb = sum(path.stat().st_size for path in bundle.path.iterdir()) / 1e6
    kind = "streams" if bundle.model.streaming else "takes whole utterances"
    print(
        f"{bundle.path}: {bundle.model.description}; {len(bundle.alphabet)} labels "
        f"({bundle.language}); {kind}; {size_mb:.1f} MB"
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
