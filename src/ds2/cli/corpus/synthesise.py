"""`ds2 corpus synthesise`: speech from text, by many voices, to widen a small corpus."""

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
"""Speed and pitch unless asked otherwise, where the engine can vary them."""

MAX_ERRORS = 20
"""Lines named that could not be said."""


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the command line."""
    parser = actions.add_parser(
        "synthesise",
        help="speak texts with a synthesiser's voices",
        description="Speak the lines of a text, each with a voice, speed and pitch drawn by the "
        "seed, and write a manifest that marks them as synthetic. Clips that are there already "
        "are kept: an interrupted run goes on where it was.",
    )
    parser.add_argument(
        "text", type=Path, nargs="?", metavar="TEXT", help="a text file, or a manifest's texts"
    )
    parser.add_argument(
        "--engine",
        required=True,
        metavar="ENGINE",
        help="espeak-ng; any program: 'command:flite -voice {voice} -t {text} -o {output}'; or "
        "Python: module:Name, file.py:Name",
    )
    parser.add_argument(
        "--voices",
        action="append",
        default=[],
        metavar="NAME,...",
        help="voices, or patterns such as 'en-us+f*'; may be repeated",
    )
    parser.add_argument("--list-voices", action="store_true", help="print the engine's voices")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="manifest.jsonl, clips/")
    parser.add_argument(
        "--takes", type=positive, default=1, metavar="N", help="say each line so many times (1)"
    )
    for name in ("speed", "pitch"):
        parser.add_argument(
            f"--{name}", metavar="A:B", help=f"drawn between these; 1 is the voice's own ({VARIED})"
        )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another choice (0)")
    parser.add_argument(
        "--format", choices=("flac", "opus", "wav"), default="flac", help="of the clips (flac)"
    )
    parser.add_argument(
        "--language", type=language, metavar="CODE", help="of the texts (by their script)"
    )
    parser.add_argument(
        "--raw-text", action="store_true", help="say and write the texts as they stand"
    )
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="threads (1)")
    parser.set_defaults(act=act)


def act(args: argparse.Namespace) -> int | None:
    """Speak all lines; 2 if some could not be said."""
    from ds2.synthesis.engine import find_engine
    from ds2.synthesis.speech import chosen_voices, jobs_of, read_lines, styled

    engine = find_engine(args.engine)
    patterns = [name for names in args.voices for name in names.split(",") if name]
    if args.list_voices:
        for voice in chosen_voices(engine, patterns or ["*"]) if engine.voices() else []:
            print(voice)
        return None
    if args.text is None or args.output is None:
        raise InputError("name a text and, with -o, a directory; or say --list-voices")
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
    """What is asked for, as two numbers. Raises ValueError."""
    if name not in engine.varies:
        if text is not None:
            raise ValueError(f"{name} {text}: {engine.name} cannot vary it")
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
