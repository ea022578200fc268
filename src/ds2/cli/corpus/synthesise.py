"""`ds2 corpus synthesise`: makes speech from text with many voices, for a small corpus."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.corpus.work import print_errors
from ds2.cli.screen.terminal import counted, language, make_directory, positive
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.manifest.utterance import Utterance
    from ds2.synthesis.engine import Engine
    from ds2.synthesis.speech import Job, SpeechRules, Spoken

VARIED = "0.9:1.1"
"""The default ranges of speed and pitch, if the engine can vary them."""

MAX_ERRORS = 20
"""Most failed lines that the report names."""


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "synthesise",
        help="make speech from texts with a synthesiser",
        description="Read a text, speak each line with a random voice, speed and pitch, and write "
        "the clips and a manifest. The manifest marks the clips as synthetic. ds2 keeps clips that "
        "exist. If it stops early, run the same command again to continue.",
    )
    parser.add_argument(
        "text", type=Path, nargs="?", metavar="TEXT", help="text file, or manifest with texts"
    )
    _add_voices(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="directory for manifest.jsonl and clips/ (default: none; needed to speak)",
    )
    parser.add_argument(
        "--takes",
        type=positive,
        default=1,
        metavar="N",
        help="number of clips for each line (default: 1)",
    )
    for name in ("speed", "pitch"):
        parser.add_argument(
            f"--{name}",
            metavar="A:B",
            help=f"range of the random {name}; 1 is the voice's own {name} (default: {VARIED})",
        )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed for the choices (default: 0)"
    )
    parser.add_argument(
        "--format",
        choices=("flac", "opus", "wav"),
        default="flac",
        help="audio format (default: flac)",
    )
    parser.add_argument(
        "--language",
        type=language,
        metavar="CODE",
        help="language of the texts, such as en (default: by their script)",
    )
    parser.add_argument(
        "--raw-text", action="store_true", help="use the texts as they are; do not normalise them"
    )
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="number of threads (default: 1)"
    )
    parser.set_defaults(act=act)


def _add_voices(parser: argparse.ArgumentParser) -> None:
    """Add the options of the voices."""
    parser.add_argument(
        "--engine",
        required=True,
        metavar="ENGINE",
        help="the synthesiser: espeak-ng; any program, such as 'command:flite -voice {voice} -t "
        "{text} -o {output}'; or a Python class, as module:Name or file.py:Name",
    )
    parser.add_argument(
        "--voices",
        action="append",
        default=[],
        metavar="NAME,...",
        help="names of voices, or patterns such as 'en-us+f*'; may be repeated (default: the "
        "engine's voice, if it has only one)",
    )
    parser.add_argument(
        "--list-voices", action="store_true", help="print the engine's voices, then stop"
    )


def act(args: argparse.Namespace) -> int | None:
    """Speak all lines; return 2 if some failed."""
    from ds2.synthesis.engine import find_engine
    from ds2.synthesis.speech import chosen_voices, jobs_of, read_lines, styled

    engine = find_engine(args.engine)
    patterns = [name for names in args.voices for name in names.split(",") if name]
    if args.list_voices:
        for voice in chosen_voices(engine, patterns or ["*"]) if engine.voices() else []:
            print(voice)
        return None
    if args.text is None or args.output is None:
        raise InputError(
            "TEXT, -o: name a text and a directory, or print the voices with --list-voices"
        )
    rules = _rules(args, engine, chosen_voices(engine, patterns))
    lines = [styled(line, args.language, raw_text=args.raw_text) for line in read_lines(args.text)]
    return _speak(jobs_of(lines, rules), engine, rules, args)


def _rules(args: argparse.Namespace, engine: "Engine", voices: list[str]) -> "SpeechRules":
    from ds2.synthesis.speech import SpeechRules

    try:
        return SpeechRules(
            engine=args.engine,
            voices=tuple(voices),
            speed=_range("speed", args.speed, engine),
            pitch=_range("pitch", args.pitch, engine),
            takes=args.takes,
            seed=args.seed,
            audio_format=args.format,
        )
    except ValueError as error:
        raise InputError(f"--{error}") from None


def _range(name: str, text: str | None, engine: "Engine") -> tuple[float, float]:
    """The range of the option as two numbers. Raises ValueError."""
    if name not in engine.varies:
        if text is not None:
            raise ValueError(f"{name} {text}: {engine.name} cannot vary the {name}: leave it out")
        return 1.0, 1.0
    low, separator, high = (text or VARIED).partition(":")
    try:
        return float(low), float(high if separator else low)
    except ValueError:
        raise ValueError(f"{name} {text}: it must be two numbers, such as {VARIED}") from None


def _speak(
    jobs: "list[Job]", engine: "Engine", rules: "SpeechRules", args: argparse.Namespace
) -> int:
    from ds2.manifest import write_manifest
    from ds2.synthesis.speech import speak_all

    make_directory(args.output)
    clips, manifest = args.output / "clips", args.output / "manifest.jsonl"
    with counted("speaking", len(jobs)) as count:
        found = speak_all(jobs, engine, rules, clips, args.jobs, count)
    utterances = [spoken.utterance for spoken in found if spoken.utterance]
    if not utterances:
        raise InputError(found[0].error)
    write_manifest(manifest, utterances)
    print(f"{manifest}: {_summary(utterances, found)}")
    errors = [spoken.error for spoken in found if spoken.error]
    more = len(errors) - MAX_ERRORS
    return print_errors(
        [*errors[:MAX_ERRORS], *([f"and {more:,} more lines left out"] * (more > 0))]
    )


def _summary(utterances: "list[Utterance]", found: "list[Spoken]") -> str:
    hours = sum(utterance.duration_s or 0 for utterance in utterances) / 3600
    num_voices = len({utterance.speaker for utterance in utterances})
    num_before = sum(spoken.was_there for spoken in found)
    before = f", {num_before:,} of them were there already" if num_before else ""
    return f"{len(utterances):,} utterances, {hours:.2f} hours, {num_voices:,} voices{before}"
