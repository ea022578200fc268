"""`ds2 transcribe`: turns recordings into text, subtitles or words with times."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.options.channels import add_channels, channels_of
from ds2.cli.options.computing import add_computing
from ds2.cli.options.decoding import add_decoding, load_recognizer, tell_why_empty
from ds2.cli.options.jobs import add_jobs, jobs_of, threads_for_each
from ds2.cli.options.live import add_vad, detector, play
from ds2.cli.options.model import HELP, default_model
from ds2.cli.options.output import (
    ALL,
    LONGEST_NAME,
    Output,
    add_output,
    distinct_names,
    output_of,
    prepare_output,
)
from ds2.cli.options.remote import add_server, transcribe_remotely
from ds2.cli.options.track import add_track
from ds2.cli.options.whisper import add_language, add_shape, check_language, shape_of
from ds2.cli.screen.segments import shows_segments, timed_line
from ds2.cli.screen.terminal import (
    complain,
    complain_of_all,
    detail,
    note,
    one_line,
    positive,
    tracked,
)
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.recognition.recognizer import Recognizer
    from ds2.transcripts.transcript import LineShape, Transcript

    Result = tuple[int, Transcript | InputError]

FORMATS = ("txt", "srt", "vtt", "tsv", "json", "ctm")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "transcribe",
        help="turn recordings into text, subtitles or words with times",
        description="Transcribe audio and video files, and write text, subtitles or words with "
        "times. Without -o the text goes to standard output. A terminal without -f shows each "
        "segment with its times as soon as it is certain. If ds2 cannot read a recording, it names "
        "it, transcribes the others and exits with status 2.",
    )
    parser.add_argument(
        "recordings",
        nargs="+",
        metavar="FILE|DIR|-",
        help="recordings, or directories of them; - is standard input",
    )
    parser.add_argument("-m", "--model", metavar="MODEL", help=HELP)
    add_server(parser)
    add_language(parser)
    add_track(parser)
    add_output(
        parser, FORMATS, "--output_format", "--output_dir", told="the files of each recording"
    )
    _add_work(parser)
    add_channels(parser)
    parser.add_argument(
        "--stream", action="store_true", help="show the text live, as if somebody spoke it now"
    )
    parser.add_argument(
        "--pace",
        type=_pace,
        default=1.0,
        metavar="X",
        help="with --stream: seconds of audio to play in each second; 0 plays as fast as possible "
        "(default: 1)",
    )
    add_vad(parser)
    add_computing(parser)
    add_decoding(parser)
    add_shape(parser.add_argument_group("subtitles (srt, vtt) and JSON"))
    _add_raw(parser)
    parser.set_defaults(run=run)


def _add_work(parser: argparse.ArgumentParser) -> None:
    """Add the options of the work and of its result."""
    add_jobs(parser)
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=8,
        metavar="N",
        help="number of recordings that each core recognises at once; streaming models only "
        "(default: 8)",
    )
    parser.add_argument(
        "--alternatives",
        type=positive,
        default=1,
        metavar="N",
        help="number of hypotheses of each recording, with their scores, in JSON (default: 1)",
    )


def _add_raw(parser: argparse.ArgumentParser) -> None:
    """Add the options of samples without a header."""
    raw = parser.add_argument_group("samples without a header, on standard input")
    raw.add_argument(
        "--raw",
        choices=("s16le", "f32le", "mulaw", "alaw"),
        help="encoding of the samples (default: read a file format)",
    )
    raw.add_argument(
        "--rate",
        type=positive,
        default=16_000,
        metavar="HZ",
        help="sample rate in Hz (default: 16000)",
    )
    raw.add_argument(
        "--raw-channels",
        type=positive,
        metavar="N",
        help="number of interleaved channels (default: 1)",
    )


def run(args: argparse.Namespace) -> int:
    """Transcribe; return 2 if a recording failed."""
    shape = shape_of(args)
    if args.raw and args.recordings != ["-"]:
        raise InputError("--raw: works with standard input only: give - as the only recording")
    if args.raw and args.track:
        raise InputError("--track: samples without a header have no tracks: leave out --track")
    channels_of(args)
    names, problems = _find_recordings(args.recordings)
    num_all = len(names) + len(problems)
    if args.vad and not args.stream:
        raise InputError("--vad: works with --stream only: add --stream, or leave out --vad")
    if args.stream:
        return _play(names, problems, args)
    shows_times = args.format is None and args.output is None and shows_segments()
    output = output_of(args, FORMATS, ("txt", "ctm"), len(names), "recordings")
    results = _transcribe_all(names, args, output, shows_times=shows_times)
    prepare_output(output)
    outputs = _output_names(names)
    if output.is_directory or output.format == "ctm":
        _tell_renamed(names, outputs)
    named = len(names) > 1 and output.format == "txt"
    for index, result in results:
        if isinstance(result, InputError):
            problems.append(str(result))
        elif output.is_directory:
            try:
                _write(result, shape, outputs[index], output)
            except InputError as error:
                problems.append(str(error))
        elif shows_times:
            _show_segments(result, one_line(names[index]) if named else "")
        elif named:
            output.put(_named_lines(one_line(names[index]), result))
        else:
            output.put(_formed(result, output.format, shape, outputs[index]))
    output.finish()
    return complain_of_all(problems, num_all, "recordings")


def _write(transcript: "Transcript", shape: "LineShape", name: str, output: Output) -> None:
    """Write the files of one recording. Raises InputError where one cannot be written."""
    for form in FORMATS if output.format == ALL else (output.format,):
        output.write(f"{name}.{form}", _formed(transcript, form, shape, name))


def _play(names: Sequence[str], problems: list[str], args: argparse.Namespace) -> int:
    """Show recordings one after the other, as if somebody spoke them now."""
    if args.output or args.server or args.raw or args.format not in (None, "txt"):
        raise InputError(
            "--stream: shows text on the terminal: leave out -o, -f, --raw and --server"
        )
    num_all = len(names) + len(problems)
    channels = channels_of(args)
    if channels == "split":
        raise InputError("--channels split: --stream shows one text: name one channel, such as 1")
    voice = detector(args)
    recognizer = _load(args)
    for name in names:
        try:
            source = sys.stdin.buffer if name == "-" else Path(name)
            play(recognizer, source, args.pace, voice, channels, track=args.track)
        except InputError as error:
            problems.append(str(error))
    return complain_of_all(problems, num_all, "recordings")


def _load(args: argparse.Namespace, **options: int) -> "Recognizer":
    """The recogniser for -m or for the language. Raises InputError."""
    args.model = args.model or args.language or default_model()
    recognizer = load_recognizer(args, **options)
    check_language(args, recognizer.bundle.language)
    return recognizer


def _transcribe_all(
    names: Sequence[str], args: argparse.Namespace, output: Output, *, shows_times: bool
) -> "Iterator[Result]":
    """Results in an order fit for the output, from a model here or from a server."""
    if args.server:
        return transcribe_remotely(names, args, language=args.language, channels=channels_of(args))
    recognizer = _load(
        args,
        num_threads=threads_for_each(args, len(names)),
        num_alternatives=args.alternatives - 1,
    )
    if shows_times and len(names) == 1 and not args.raw:
        return _shown_at_once(recognizer, names[0], args)
    return _transcribe(recognizer, names, args, in_order=not output.is_directory)


def _find_recordings(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The recordings that the arguments name, and problems with the others."""
    from ds2.audio import search

    names: dict[str, None] = {}  # in order, without repeats
    problems: list[str] = []
    for argument in arguments:
        if argument == "-":
            names["-"] = None
            continue
        try:
            found = search(Path(argument))
        except InputError as error:
            problems.append(str(error))
            continue
        names |= dict.fromkeys(map(str, found.recordings))
        problems += found.problems
        if found.passed_over:
            note(found.passed_over)
    if not names:
        for problem in problems[:-1]:
            complain(problem)
        raise InputError(problems[-1])
    return list(names), problems


def _output_names(names: Sequence[str]) -> list[str]:
    """A file name without extension for each recording.

    Where a.wav and a.mp3 would share a name, both keep their extension as part of it. The same
    name from several directories gets a number.
    """
    stems = ["standard-input" if name == "-" else Path(name).stem for name in names]
    counts = Counter(stem.lower() for stem in stems)
    wanted = (
        Path(name).name.replace(".", "_") if counts[stem.lower()] > 1 else stem
        for name, stem in zip(names, stems, strict=True)
    )
    return list(distinct_names(wanted))


def _tell_renamed(names: Sequence[str], outputs: Sequence[str]) -> None:
    """Show a note for each recording whose output has another name."""
    for name, output in zip(names, outputs, strict=True):
        if name != "-" and output != Path(name).stem:
            has_room = len(os.fsencode(Path(name).stem)) <= LONGEST_NAME
            reason = "another recording has its name" if has_room else "its name is too long"
            note(f"{name} is written as {output}: {reason}")


def _transcribe(
    recognizer: "Recognizer", names: Sequence[str], args: argparse.Namespace, *, in_order: bool
) -> "Iterator[Result]":
    """Results, under a progress bar on a terminal. in_order: keep the order of the recordings."""
    if names == ["-"]:
        yield 0, _transcribe_standard_input(recognizer, args)
        return
    order = range(len(names)) if in_order else _longest_first(names)
    recordings = [sys.stdin.buffer if names[i] == "-" else Path(names[i]) for i in order]
    results = recognizer.transcribe_many(
        recordings,
        batch_size=args.batch_size,
        jobs=min(jobs_of(args), len(names)),
        track=args.track,
        channels=channels_of(args),
    )
    named = ((order[index], result) for index, result in results)
    shown = tracked(named, "transcribing", len(names))
    shown = _with_reasons(shown, recognizer, names, args)
    if not in_order:  # files may be written in any order
        yield from shown
        return
    waiting: dict[int, Transcript | InputError] = {}
    next_index = 0
    for index, result in shown:
        waiting[index] = result
        while next_index in waiting:
            yield next_index, waiting.pop(next_index)
            next_index += 1


def _longest_first(names: Sequence[str]) -> Sequence[int]:
    """The indices of the recordings, the largest file first.

    A long recording that began last would keep one core at work while the others wait.
    """
    sizes = [Path(name).stat().st_size if Path(name).is_file() else 0 for name in names]
    return sorted(range(len(names)), key=lambda index: -sizes[index])


def _with_reasons(
    results: "Iterable[Result]",
    recognizer: "Recognizer",
    names: Sequence[str],
    args: argparse.Namespace,
) -> "Iterator[Result]":
    """The results; shows a note where a search leaves a recording without text."""
    for index, result in results:
        if not isinstance(result, InputError) and not result.words and names[index] != "-":
            tell_why_empty(recognizer, args, names[index], channels_of(args))
        yield index, result


def _transcribe_standard_input(
    recognizer: "Recognizer", args: argparse.Namespace
) -> "Transcript | InputError":
    from ds2.audio import pcm_blocks

    try:
        channels = channels_of(args)
        if not args.raw:
            return recognizer.transcribe(sys.stdin.buffer, track=args.track, channels=channels)
        blocks = pcm_blocks(
            sys.stdin.buffer,
            sample_rate_hz=args.rate,
            num_channels=args.raw_channels or 1,
            encoding=args.raw,
            channels=channels,
        )
        if channels == "split":
            return recognizer.transcribe_channels(blocks)
        stream = recognizer.stream()
        for block in blocks:
            stream.feed(block)
        return stream.finish()
    except InputError as error:
        return error


def _shown_at_once(
    recognizer: "Recognizer", name: str, args: argparse.Namespace
) -> "Iterator[Result]":
    """Show the segments of a recording as they come. Gives a result only for an error."""
    start_s = time.perf_counter()
    channels = channels_of(args)
    try:
        transcript = recognizer.transcribe(
            sys.stdin.buffer if name == "-" else Path(name),
            track=args.track,
            channels=channels,
            on_segment=lambda segment: print(timed_line(segment), flush=True),
        )
    except InputError as error:
        yield 0, error
        return
    elapsed_s = time.perf_counter() - start_s
    if not transcript.words and name != "-":
        tell_why_empty(recognizer, args, name, channels)
    detail(f"{name}: {transcript.duration_s:.1f} s of audio in {elapsed_s:.1f} s")


def _show_segments(transcript: "Transcript", name: str) -> None:
    """The segments with their times, below the recording's name."""
    if name:
        print(name)
    for segment in transcript.segments():
        print(timed_line(segment))
    print(end="", flush=True)


def _named_lines(name: str, transcript: "Transcript") -> str:
    """One line with the recording's name and text. With speakers, one line for each segment."""
    if not transcript.channels:
        return f"{name}\t{transcript.text}\n"
    return "".join(f"{name}\t{segment.line}\n" for segment in transcript.segments())


def _formed(transcript: "Transcript", form: str, shape: "LineShape", name: str) -> str:
    from ds2.transcripts.transcript import WRITERS, to_ctm

    if form == "ctm":
        return to_ctm(transcript, name)
    return WRITERS[form](transcript, shape)


def _pace(text: str) -> float:
    pace = float(text)
    if not 0 <= pace < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text}")
    return pace
