"""`ds2 transcribe`: recordings to text, subtitles or words with times."""

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ds2.cli.options.decoding import add_decoding, load_recognizer
from ds2.cli.options.live import add_vad, detector, play
from ds2.cli.options.model import HELP, default_model
from ds2.cli.options.remote import add_server, transcribe_remotely
from ds2.cli.terminal import make_directory, positive, tracked
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.recognition.recognizer import Recognizer
    from ds2.transcripts.transcript import LineShape, Transcript

FORMATS = ("txt", "srt", "vtt", "tsv", "json", "ctm")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "transcribe",
        help="recordings to text, subtitles or words with times",
        description="Transcribe recordings. Without -o the text goes to standard output. A "
        "recording that cannot be read is named; the others are done all the same, and the exit "
        "status is 2.",
    )
    parser.add_argument("recordings", nargs="+", metavar="FILE|DIR|-", help="- is standard input")
    parser.add_argument("-m", "--model", metavar="MODEL", help=HELP)
    add_server(parser)
    parser.add_argument(
        "-f", "--format", choices=(*FORMATS, "all"), default="txt", help="what to write (txt)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to write files")
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="processor cores to use (1)"
    )
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=8,
        metavar="N",
        help="recordings that each core takes through a streaming model side by side (8)",
    )
    parser.add_argument(
        "--alternatives",
        type=positive,
        default=1,
        metavar="N",
        help="readings of each recording, with their scores, in JSON (1)",
    )
    parser.add_argument(
        "--stream", action="store_true", help="show the text as if it were said now, as it changes"
    )
    parser.add_argument(
        "--pace",
        type=_pace,
        default=1.0,
        metavar="X",
        help="with --stream: seconds of audio a second, 0 as many as can be (1)",
    )
    add_vad(parser)
    add_decoding(parser)
    _add_shape(parser.add_argument_group("subtitles (srt, vtt)"))
    raw = parser.add_argument_group("samples without a header, on standard input")
    raw.add_argument("--raw", choices=("s16le", "f32le"), help="their encoding")
    raw.add_argument("--rate", type=positive, default=16_000, help="in Hz (16000)")
    raw.add_argument("--channels", type=positive, default=1, help="(1)")
    parser.set_defaults(run=run)


def _add_shape(group: "argparse._ArgumentGroup") -> None:
    """Whisper's options, under its names and with hyphens."""
    for name, meaning in (
        ("max-line-width", "characters of a line"),
        ("max-line-count", "lines of a subtitle; needs --max-line-width"),
        ("max-words-per-line", "words of a line"),
    ):
        other = f"--{name.replace('-', '_')}"
        group.add_argument(f"--{name}", other, type=positive, metavar="N", help=meaning)
    group.add_argument(
        "--highlight-words",
        "--highlight_words",
        nargs="?",
        const=True,
        default=False,
        type=_is_true,
        metavar="True",
        help="underline each word while it is said",
    )


def run(args: argparse.Namespace) -> int:
    """Transcribe; 2 if some recording could not be read."""
    from ds2.transcripts.transcript import LineShape

    shape = LineShape(
        args.max_line_width, args.max_line_count, args.max_words_per_line, args.highlight_words
    )
    if args.raw and args.recordings != ["-"]:
        raise InputError("--raw: is for standard input alone: give - as the only recording")
    names, problems = _find_recordings(args.recordings)
    if args.vad and not args.stream:
        raise InputError("--vad: is for --stream: a recording as a whole has no endpoints")
    if args.stream:
        return _play(names, problems, args)
    if args.output is None:
        _check_printable(args.format, len(names))
    results = _transcribe_all(names, args)
    if args.output is not None:
        make_directory(args.output)
    outputs = _output_names(names)
    show_names = args.output is None and len(names) > 1 and args.format == "txt"
    for index, result in results:
        if isinstance(result, InputError):
            problems.append(str(result))
        elif args.output is None:
            _print(result, args.format, shape, outputs[index], names[index] if show_names else "")
        else:
            formats = FORMATS if args.format == "all" else (args.format,)
            _write(result, formats, shape, args.output / outputs[index])
    for problem in problems:
        print(f"ds2: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _play(names: Sequence[str], problems: list[str], args: argparse.Namespace) -> int:
    """Show recordings one after the other as if they were said now."""
    if args.output or args.server or args.raw or args.format != "txt":
        raise InputError("--stream: shows text on the terminal: leave out -o, -f, --raw, --server")
    voice = detector(args)
    args.model = args.model or default_model()
    recognizer = load_recognizer(args)
    for name in names:
        try:
            play(recognizer, sys.stdin.buffer if name == "-" else Path(name), args.pace, voice)
        except InputError as error:
            problems.append(str(error))
    for problem in problems:
        print(f"ds2: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _transcribe_all(
    names: Sequence[str], args: argparse.Namespace
) -> "Iterator[tuple[int, Transcript | InputError]]":
    """Results to be written one after another, from the model that is loaded here or a server's."""
    if args.server:
        return transcribe_remotely(names, args)
    args.model = args.model or default_model()
    recognizer = load_recognizer(
        args,
        num_threads=max(1, args.jobs // len(names)),
        num_alternatives=args.alternatives - 1,
    )
    return _transcribe(recognizer, names, args)


def _check_printable(form: str, num_recordings: int) -> None:
    """Raise InputError for what makes no sense one after another on standard output."""
    if form == "all":
        raise InputError("-f all: writes several files: say where with -o DIR")
    if num_recordings > 1 and form not in ("txt", "ctm"):
        raise InputError(
            f"-f {form}: writes a file for each of the {num_recordings} recordings: say where "
            "with -o DIR"
        )


def _find_recordings(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The recordings that the arguments name, and what is wrong with others."""
    from ds2.audio import find_audio

    names: list[str] = []
    problems: list[str] = []
    for argument in arguments:
        try:
            found = [argument] if argument == "-" else map(str, find_audio(Path(argument)))
            names += [name for name in found if name not in names]
        except InputError as error:
            problems.append(str(error))
    if not names:
        raise InputError(problems[0])
    return names, problems


def _output_names(names: Sequence[str]) -> list[str]:
    """A file name, without extension, for each; a.wav and a.mp3 keep theirs, so as not to meet.

    The same name from several directories gets a number. Names that differ only in capitals are
    the same to some file systems.
    """
    stems = ["standard-input" if name == "-" else Path(name).stem for name in names]
    counts = Counter(stem.lower() for stem in stems)
    taken: set[str] = set()  # in lower case
    chosen = []
    for name, stem in zip(names, stems, strict=True):
        wanted = Path(name).name.replace(".", "_") if counts[stem.lower()] > 1 else stem
        numbered = (f"{wanted}-{number}" for number in itertools.count(2))
        free = next(n for n in itertools.chain([wanted], numbered) if n.lower() not in taken)
        taken.add(free.lower())
        chosen.append(free)
    return chosen


def _transcribe(
    recognizer: "Recognizer", names: Sequence[str], args: argparse.Namespace
) -> "Iterator[tuple[int, Transcript | InputError]]":
    """Results in the order of the recordings, under a progress bar on a terminal."""
    if names == ["-"]:
        yield 0, _transcribe_standard_input(recognizer, args)
        return
    recordings = [sys.stdin.buffer if name == "-" else Path(name) for name in names]
    results = recognizer.transcribe_many(
        recordings, batch_size=args.batch_size, jobs=min(args.jobs, len(names))
    )
    shown = tracked(results, "transcribing", len(names))
    if args.output is not None:  # files may be written in any order
        yield from shown
        return
    waiting: dict[int, Transcript | InputError] = {}
    next_index = 0
    for index, result in shown:
        waiting[index] = result
        while next_index in waiting:
            yield next_index, waiting.pop(next_index)
            next_index += 1


def _transcribe_standard_input(
    recognizer: "Recognizer", args: argparse.Namespace
) -> "Transcript | InputError":
    from ds2.audio import pcm_blocks

    try:
        if not args.raw:
            return recognizer.transcribe(sys.stdin.buffer)
        stream = recognizer.stream()
        for block in pcm_blocks(
            sys.stdin.buffer,
            sample_rate_hz=args.rate,
            num_channels=args.channels,
            encoding=args.raw,
        ):
            stream.feed(block)
        return stream.finish()
    except InputError as error:
        return error


def _print(
    transcript: "Transcript", form: str, shape: "LineShape", output_name: str, name: str
) -> None:
    """To standard output; several texts each on a line after its recording's name."""
    text = f"{name}\t{transcript.text}\n" if name else _formed(transcript, form, shape, output_name)
    sys.stdout.write(text)
    sys.stdout.flush()


def _write(
    transcript: "Transcript", formats: Sequence[str], shape: "LineShape", path: Path
) -> None:
    from ds2.files import atomic_write

    for form in formats:
        with atomic_write(path.with_name(f"{path.name}.{form}")) as file:
            file.write(_formed(transcript, form, shape, path.name))


def _formed(transcript: "Transcript", form: str, shape: "LineShape", name: str) -> str:
    from ds2.transcripts.transcript import WRITERS, to_ctm

    if form == "ctm":
        return to_ctm(transcript, name)
    return WRITERS[form](transcript, shape)


def _is_true(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be True or False, not {text}")
    return text.lower() == "true"


def _pace(text: str) -> float:
    pace = float(text)
    if not 0 <= pace < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text}")
    return pace
