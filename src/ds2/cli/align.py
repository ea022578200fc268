"""`ds2 align`: when each word of known texts was said."""

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.options.model import add_model, mandarin_advice
from ds2.cli.terminal import make_directory, positive, tracked
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.manifest import Utterance
    from ds2.recognition.aligner import AlignedText, Aligner

FORMATS = ("ctm", "json", "textgrid")
LONGEST_NAME = 150  # bytes: file systems take 255, and extensions come yet


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "align",
        help="when each word of known texts was said",
        description="Find when each word of a manifest's texts was said. Without -o the times go "
        "to standard output: a CTM of all utterances, or with -f json a line for each, with its "
        "score, by which wrong texts are found. An utterance that cannot be aligned is named; "
        "the others are done all the same, and the exit status is 2.",
    )
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST")
    add_model(parser)
    parser.add_argument(
        "-f", "--format", choices=(*FORMATS, "all"), default="ctm", help="what to write (ctm)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where to write files, for each utterance"
    )
    parser.add_argument(
        "--characters",
        action="store_true",
        help="times of characters: in JSON besides the words, in CTM instead of them (with -o in "
        "a second file); a TextGrid has both in any case",
    )
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="processor cores (1)")
    parser.add_argument(
        "--raw-text", action="store_true", help="take the texts as they stand, not normalised"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Align; 2 if some utterance could not be."""
    from ds2.manifest import read_manifest

    problems: list[str] = []
    utterances = [
        utterance
        for path in args.manifests
        for utterance in read_manifest(path, on_error=lambda error: problems.append(str(error)))
    ]
    if args.output is None:
        _check_printable(args.format, len(utterances))
    from ds2.recognition.aligner import Aligner  # numba comes with it, which takes its time

    aligner = Aligner.load(args.model, num_threads=max(1, args.jobs // max(1, len(utterances))))
    if args.output is not None:
        make_directory(args.output)
    results = _align_all(aligner, utterances, args)
    for name, utterance, result in zip(_names(utterances), utterances, results, strict=True):
        if isinstance(result, InputError):
            problems.append(f"{utterance.where}: {result}")
        elif args.output is None:
            _print(result, utterance, name, args)
        else:
            _write(result, utterance, name, args)
    for problem in problems:
        print(f"ds2: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _check_printable(form: str, num_utterances: int) -> None:
    """Raise InputError for what makes no sense one after another on standard output."""
    if form == "all":
        raise InputError("-f all: writes several files: say where with -o DIR")
    if form == "textgrid" and num_utterances > 1:
        raise InputError(
            f"-f textgrid: writes a file for each of the {num_utterances} utterances: say where "
            "with -o DIR"
        )


def _names(utterances: "Sequence[Utterance]") -> Iterator[str]:
    """What each utterance is called in output: its id, as a file's name, and none twice.

    Names that differ only in capitals are the same to some file systems.
    """
    taken: set[str] = set()  # in lower case
    for utterance in utterances:
        plain = "".join("_" if letter in "/\\:\0" else letter for letter in utterance.id)
        wanted = plain.encode()[:LONGEST_NAME].decode(errors="ignore").lstrip(".") or "_"
        numbered = (f"{wanted}-{number}" for number in itertools.count(2))
        free = next(n for n in itertools.chain([wanted], numbered) if n.lower() not in taken)
        taken.add(free.lower())
        yield free


def _align_all(
    aligner: "Aligner", utterances: "Sequence[Utterance]", args: argparse.Namespace
) -> "Iterator[AlignedText | InputError]":
    """Results in the order of the utterances, under a progress bar on a terminal."""
    from concurrent.futures import ThreadPoolExecutor

    from ds2.text.alphabet import UnspellableError

    def align_one(utterance: "Utterance") -> "AlignedText | InputError":
        try:
            text = _text_of(utterance, aligner.bundle.language, is_raw=args.raw_text)
            return aligner.align(utterance, text)
        except UnspellableError as error:
            hint = "leave out --raw-text" if args.raw_text else "spell that out in the text"
            hint = mandarin_advice(str(error), aligner.bundle.language) or hint
            return InputError(f"{error}: {hint}")
        except InputError as error:
            return error

    if args.jobs == 1 or len(utterances) == 1:
        yield from tracked(map(align_one, utterances), "aligning", len(utterances))
        return
    with ThreadPoolExecutor(args.jobs) as executor:
        yield from tracked(executor.map(align_one, utterances), "aligning", len(utterances))


def _text_of(utterance: "Utterance", language: str, *, is_raw: bool) -> str:
    """The text to align, its words parted by one space. Raises InputError if there is none."""
    from ds2.text.normalise import normalise

    if not (utterance.text and utterance.text.strip()):
        raise InputError("has no text to align: add it, or leave the utterance out")
    text = utterance.text if is_raw else normalise(utterance.text, language)
    text = " ".join(text.split())
    if not text:
        raise InputError("the text holds no words: correct it, or leave the utterance out")
    return text


def _print(
    aligned: "AlignedText", utterance: "Utterance", name: str, args: argparse.Namespace
) -> None:
    """To standard output: CTM, a line of JSON, or the one TextGrid."""
    if args.format == "json":
        text = json.dumps(_json(aligned, utterance, name, args), ensure_ascii=False) + "\n"
    elif args.format == "textgrid":
        text = _textgrid(aligned)
    else:
        text = _ctm(aligned, name, of_characters=args.characters)
    sys.stdout.write(text)
    sys.stdout.flush()


def _write(
    aligned: "AlignedText", utterance: "Utterance", name: str, args: argparse.Namespace
) -> None:
    from ds2.files import atomic_write

    def json_text() -> str:
        fields = _json(aligned, utterance, name, args)
        return json.dumps(fields, ensure_ascii=False, indent=2) + "\n"

    writers: dict[str, Callable[[], str]] = {
        "ctm": lambda: _ctm(aligned, name, of_characters=False),
        "characters.ctm": lambda: _ctm(aligned, name, of_characters=True),
        "json": json_text,
        "TextGrid": lambda: _textgrid(aligned),
    }
    for extension, formed in writers.items():
        form = extension.split(".")[-1].lower()
        if args.format not in (form, "all"):
            continue
        if extension == "characters.ctm" and not args.characters:
            continue
        with atomic_write(args.output / f"{name}.{extension}") as file:
            file.write(formed())


def _ctm(aligned: "AlignedText", name: str, *, of_characters: bool) -> str:
    from ds2.transcripts.transcript import to_ctm

    transcript = aligned.transcript
    if of_characters:
        transcript = replace(transcript, words=aligned.characters)
    return to_ctm(transcript, name)


def _json(
    aligned: "AlignedText", utterance: "Utterance", name: str, args: argparse.Namespace
) -> dict[str, object]:
    place = {"audio_filepath": str(utterance.audio_path), "offset": utterance.offset_s}
    return {"id": name, **place, **aligned.to_dict(with_characters=args.characters)}


def _textgrid(aligned: "AlignedText") -> str:
    from ds2.transcripts.textgrid import to_textgrid

    tiers = {"words": aligned.transcript.words, "characters": aligned.characters}
    return to_textgrid(tiers, aligned.transcript.duration_s)
