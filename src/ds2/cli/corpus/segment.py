"""`ds2 corpus segment`: cuts aligned recordings into utterances for training."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.long.segment import CutRules

HELP = {
    "shortest_s": "shortest utterance, in seconds (default: 1)",
    "longest_s": "longest utterance, in seconds (default: 20)",
    "pause_s": "shortest silence between two words for a cut, in seconds (default: 0.3)",
    "margin_s": "most silence to keep before and after each utterance, in seconds (default: 0.3)",
    "extra_labels": "cut out speech that the text lacks if the model reads something in at least N "
    "frames of it (default: 4)",
}


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "segment",
        help="cut aligned recordings into utterances",
        description="Read the output of `ds2 corpus align`, cut the recordings at pauses, and "
        "write a manifest of the utterances. The manifest has offsets into the recordings. ds2 "
        "copies audio only with --audio.",
    )
    parser.add_argument(
        "aligned", type=Path, metavar="ALIGNED", help="output of `ds2 corpus align`"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="MANIFEST",
        help="manifest to write",
    )
    for name, help_text in HELP.items():
        parser.add_argument(
            f"--{name.removesuffix('_s').replace('_', '-')}",
            dest=name,
            type=int if name == "extra_labels" else float,
            metavar="N" if name == "extra_labels" else "S",
            help=help_text,
        )
    parser.add_argument(
        "--audio",
        type=Path,
        metavar="DIR",
        help="directory for the audio of each utterance, as FLAC (default: write no audio)",
    )
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> None:
    """Cut all recordings, write the manifest, and report."""
    from ds2.cli.screen.terminal import make_directory, tracked
    from ds2.corpora.long.align import read_aligned
    from ds2.corpora.long.segment import segment
    from ds2.manifest import write_manifest

    rules = _rules(args)
    recordings = read_aligned(args.aligned)
    cut = [segment(recording, rules) for recording in recordings]
    utterances = [utterance for result in cut for utterance in result.utterances]
    if not utterances:
        raise InputError(
            f"{args.aligned}: ds2 cannot cut an utterance from it: lower --pause or --shortest, "
            "or align with another model"
        )
    if args.audio is not None:
        from ds2.corpora.long.clips import write_clip

        make_directory(args.audio)
        tracks = tracked(utterances, "writing audio", len(utterances))
        utterances = [write_clip(utterance, args.audio) for utterance in tracks]
    write_manifest(args.output, utterances)
    hours = sum(recording.duration_s for recording in recordings) / 3600
    kept = sum(result.duration_s for result in cut) / 3600
    print(
        f"{args.output}: {len(utterances)} utterances, {kept:.2f} of {hours:.2f} hours "
        f"({kept / hours:.0%}); {sum(result.num_missing for result in cut)} words of the texts "
        f"were not said, {sum(result.num_left for result in cut)} are in no utterance"
    )


def _rules(args: argparse.Namespace) -> "CutRules":
    from ds2.corpora.long.segment import CutRules

    given = {
        field.name: getattr(args, field.name)
        for field in fields(CutRules)
        if getattr(args, field.name) is not None
    }
    try:
        return CutRules(**given)
    except ValueError as error:
        name, _, rest = str(error).partition(":")
        raise InputError(f"--{name.removesuffix('_s').replace('_', '-')}:{rest}") from None
