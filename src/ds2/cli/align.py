"""`ds2 align`: finds the times of the words in transcribed recordings."""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.options.computing import add_computing, computing_of
from ds2.cli.options.jobs import add_jobs, jobs_of, threads_for_each
from ds2.cli.options.model import add_model, mandarin_advice
from ds2.cli.options.output import (
    ALL,
    Output,
    add_output,
    distinct_names,
    output_of,
    prepare_output,
)
from ds2.cli.options.track import add_track
from ds2.cli.screen.terminal import complain_of_all, note, tracked
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.manifest import Utterance
    from ds2.recognition.aligner import AlignedText, Aligner

FORMATS = ("ctm", "json", "textgrid")
LONGEST_NAME = 150  # bytes: file systems allow 255, and the extension needs some


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "align",
        help="find the times of the words in transcribed recordings",
        description="Read the recordings and texts of a manifest, and find the start and the end "
        "of each word. Without -o, ds2 prints one CTM of all utterances, or with -f json one line "
        "for each utterance. The score of an utterance helps to find wrong texts. If ds2 cannot "
        "align an utterance, it names it, aligns the others and exits with status 2.",
    )
    parser.add_argument(
        "manifests",
        nargs="+",
        type=Path,
        metavar="MANIFEST",
        help="manifests of recordings with texts",
    )
    add_model(parser)
    add_track(parser)
    add_output(parser, FORMATS, told="the files of each utterance")
    parser.add_argument(
        "--characters",
        action="store_true",
        help="write the times of characters, too: JSON holds both; CTM holds characters instead of "
        "words, with -o in a second file; a TextGrid always holds both",
    )
    add_jobs(parser)
    parser.add_argument(
        "--raw-text", action="store_true", help="use the texts as they are; do not normalise them"
    )
    add_computing(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Align; return 2 if an utterance failed."""
    from ds2.manifest import is_recording, read_manifest

    for path in args.manifests:
        if is_recording(path):
            raise InputError(
                f"{path}: is a recording, but `ds2 align` reads manifests, with a line of JSON for "
                "each recording and its text: for a long recording with a rough text use "
                "`ds2 corpus align`"
            )

    problems: list[str] = []
    utterances = [
        utterance
        for path in args.manifests
        for utterance in read_manifest(path, on_error=lambda error: problems.append(str(error)))
    ]
    num_all = len(utterances) + len(problems)
    output = output_of(args, FORMATS, ("ctm", "json"), len(utterances), "utterances")
    from ds2.recognition.aligner import Aligner  # slow: this imports numba

    num_threads = threads_for_each(args, len(utterances))
    aligner = Aligner.load(args.model, num_threads=num_threads, **computing_of(args))
    prepare_output(output)
    names = _names(utterances)
    if output.is_directory:
        _tell_renamed(utterances, names)
    results = _align_all(aligner, utterances, args)
    for name, utterance, result in zip(names, utterances, results, strict=True):
        if isinstance(result, InputError):
            problems.append(f"{utterance.where}: {result}")
        elif output.is_directory:
            try:
                _write(result, utterance, name, args, output)
            except InputError as error:
                problems.append(str(error))
        else:
            output.put(_printed(result, utterance, name, args, output.format))
    output.finish()
    return complain_of_all(problems, num_all, "utterances")


def _names(utterances: "Sequence[Utterance]") -> list[str]:
    """The name of each utterance in the output: its id, fit for a file name, without repeats."""
    return list(distinct_names(map(_plain_name, utterances), LONGEST_NAME))


def _plain_name(utterance: "Utterance") -> str:
    plain = "".join("_" if letter in "/\\:\0" else letter for letter in utterance.id)
    return plain.lstrip(".") or "_"


def _tell_renamed(utterances: "Sequence[Utterance]", names: Sequence[str]) -> None:
    """Show a note for each utterance whose output has another name than its id."""
    for utterance, name in zip(utterances, names, strict=True):
        if name != (wanted := _plain_name(utterance)):
            has_room = len(os.fsencode(wanted)) <= LONGEST_NAME
            reason = "another utterance has its id" if has_room else "its id is too long"
            note(f"{utterance.where} is written as {name}: {reason}")


def _align_all(
    aligner: "Aligner", utterances: "Sequence[Utterance]", args: argparse.Namespace
) -> "Iterator[AlignedText | InputError]":
    """Results in the order of the utterances, under a progress bar on a terminal."""
    from concurrent.futures import ThreadPoolExecutor

    from ds2.text.alphabet import UnspellableError

    def align_one(utterance: "Utterance") -> "AlignedText | InputError":
        try:
            text = _text_of(utterance, aligner.bundle.language, is_raw=args.raw_text)
            return aligner.align(utterance, text, track=args.track)
        except UnspellableError as error:
            hint = "leave out --raw-text" if args.raw_text else "write it in words in the text"
            hint = mandarin_advice(str(error), aligner.bundle.language) or hint
            return InputError(f"{error}: {hint}")
        except InputError as error:
            return error

    if jobs_of(args) == 1 or len(utterances) == 1:
        yield from tracked(map(align_one, utterances), "aligning", len(utterances))
        return
    with ThreadPoolExecutor(jobs_of(args)) as executor:
        yield from tracked(executor.map(align_one, utterances), "aligning", len(utterances))


def _text_of(utterance: "Utterance", language: str, *, is_raw: bool) -> str:
    """The text to align, with one space between words. Raises InputError if there is none."""
    from ds2.text.normalise import normalise

    if not (utterance.text and utterance.text.strip()):
        raise InputError("has no text to align: add it, or leave the utterance out")
    text = utterance.text if is_raw else normalise(utterance.text, language)
    text = " ".join(text.split())
    if not text:
        raise InputError("the text has no words: correct it, or leave the utterance out")
    return text


def _printed(
    aligned: "AlignedText", utterance: "Utterance", name: str, args: argparse.Namespace, form: str
) -> str:
    """The text of one result for standard output or one file: CTM, a line of JSON, a TextGrid."""
    if form == "json":
        return json.dumps(_json(aligned, utterance, name, args), ensure_ascii=False) + "\n"
    if form == "textgrid":
        return _textgrid(aligned)
    return _ctm(aligned, name, of_characters=args.characters)


def _write(
    aligned: "AlignedText",
    utterance: "Utterance",
    name: str,
    args: argparse.Namespace,
    output: Output,
) -> None:
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
        if output.format not in (form, ALL):
            continue
        if extension == "characters.ctm" and not args.characters:
            continue
        output.write(f"{name}.{extension}", formed())


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
