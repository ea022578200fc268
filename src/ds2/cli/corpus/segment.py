"""`ds2 corpus segment`: aligned recordings to utterances that one can train on."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.corpora.long.segment import CutRules

HELP = {
    "shortest_s": "utterances are at least so long (1)",
    "longest_s": "and at most so long (20)",
    "pause_s": "silence between two words, from which on there may be a cut (0.3)",
    "margin_s": "of the silence around an utterance, at most so much is kept on either side (0.3)",
    "extra_labels": "speech that the text lacks parts a recording from so many frames on in which "
    "the model reads something (4)",
}


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "segment",
        help="cut aligned recordings into utterances",
        description="Cut recordings that ds2 corpus align has found the words of, where they "
        "pause. Writes a manifest with offsets into the recordings; no audio is copied, but with "
        "--audio.",
    )
    parser.add_argument("aligned", type=Path, metavar="ALIGNED", help="of ds2 corpus align")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="MANIFEST",
        help="the manifest of utterances to write",
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
        "--audio", type=Path, metavar="DIR", help="also write each utterance's audio there, as FLAC"
    )
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> None:
    """Cut all recordings, and say what became of them."""
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
            f"{args.aligned}: no utterance can be cut from it: lower --pause or --shortest, "
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
