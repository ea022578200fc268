"""`ds2 show`: draws a recording as the model sees it."""

import argparse
from pathlib import Path

from ds2.cli.options.model import add_model
from ds2.cli.screen.terminal import note, say
from ds2.errors import InputError

MAX_NAMED = 10
"""Most characters that the note about missing fonts names."""

LONGEST_S = 60.0
"""A picture of more seconds would be too wide to look at."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "show",
        help="draw a recording: waveform, spectrogram and characters",
        description="Recognise a recording and draw it as a picture: the waveform with the words, "
        "the spectrogram, and the probability of each character over time.",
    )
    parser.add_argument("recording", metavar="FILE", help="the recording to draw")
    add_model(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="PICTURE.png",
        help="the picture to write",
    )
    parser.add_argument(
        "--offset",
        type=float,
        default=0.0,
        metavar="S",
        help="start in the recording, in seconds (default: 0)",
    )
    parser.add_argument(
        "--duration",
        type=float,
        default=LONGEST_S,
        metavar="S",
        help=f"most audio to draw, in seconds, up to {LONGEST_S:g} (default: {LONGEST_S:g})",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Recognise, draw and write."""
    from ds2.audio import read_audio
    from ds2.evaluation.figure import check_figure, write_figure
    from ds2.evaluation.picture import draw_recognition
    from ds2.model.front_end import compute_features
    from ds2.recognition.recognizer import Recognizer

    check_figure(args.output)
    if not 0 < args.duration <= LONGEST_S:
        raise InputError(f"--duration {args.duration:g}: must be above 0 and at most {LONGEST_S:g}")
    waveform = read_audio(args.recording, offset_s=args.offset, duration_s=args.duration)
    recognizer = Recognizer.load(args.model)
    figure, missing = draw_recognition(
        waveform,
        compute_features(waveform, recognizer.bundle.features),
        recognizer.log_probs(waveform),
        recognizer.transcribe(waveform),
        recognizer.bundle.alphabet,
        f"{args.recording}   {recognizer.bundle.path}",
    )
    write_figure(figure, args.output, dpi=110)
    say(f"wrote {args.output}")
    if missing:
        shown = " ".join(sorted(missing)[:MAX_NAMED]) + (" ..." if len(missing) > MAX_NAMED else "")
        note(
            f"no installed font has {shown}: the picture shows code points: install a font for the "
            "language, such as Debian's fonts-noto-cjk for Chinese"
        )
