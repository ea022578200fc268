"""`ds2 info`: shows the facts about a bundle or a recording."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds2.cli.lm.queries import megabytes
from ds2.cli.options.track import add_track
from ds2.cli.screen.terminal import console
from ds2.errors import InputError

if TYPE_CHECKING:
    from ds2.ctc.settings import BeamSettings
    from ds2.model.bundle import Bundle

RATES = ("wer", "cer", "rate")
"""Ends of the names of facts that are fractions in a bundle. The table shows per cent."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "info",
        help="show the facts about a model or a recording",
        description="Show the facts about a bundle, and verify every byte of its network and its "
        "language model. Or list the sound tracks of a recording or film.",
    )
    parser.add_argument(
        "model", metavar="MODEL|FILE", help="a model's name or bundle, or a recording"
    )
    add_track(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print a table."""
    if Path(args.model).is_file():
        _show_recording(args.model, args.track)
        return
    if args.track:
        raise InputError("--track: works with recordings only: leave it out for a model")
    from rich.table import Table

    from ds2.model.bundle import find_bundle, load_bundle, verify_lm
    from ds2.model.computing import choose_arithmetic
    from ds2.model.inference import choose_place

    bundle = load_bundle(find_bundle(args.model))
    verify_lm(bundle)
    model = bundle.model
    arithmetic = choose_arithmetic("auto", model, choose_place("auto"))
    table = Table(show_header=False, title=str(bundle.path), title_justify="left")
    rows = {
        "language": bundle.language,
        "alphabet": f"{len(bundle.alphabet)} labels with the blank ({bundle.alphabet.kind})",
        "network": model.description,
        "parameters": f"{model.num_parameters / 1e6:.2f} M, stored as {model.weights}",
        "arithmetic": f"{arithmetic.name}: {arithmetic.reason}",
        "size": f"{bundle.num_bytes / 1e6:.1f} MB",
        "features": bundle.features.summary,
        "output": f"every {1000 * bundle.output_stride_s:g} ms",
        "latency": _latency(bundle.latency_s),
        "language model": lm_text(bundle),
        "licence": bundle.licence,
    }
    if bundle.decoding:
        rows["decoding"] = decoding_text(bundle.decoding)
    for name, value in [*rows.items(), *_flat("training", bundle.training)]:
        table.add_row(name, value)
    console().print(table)


def _show_recording(path: str, wanted: str | None) -> None:
    """Print a table of the sound tracks. Raises InputError."""
    from rich.table import Table
    from rich.text import Text

    from ds2.audio import probe_audio, sound_tracks
    from ds2.audio.tracks import choose_track

    info, tracks = probe_audio(path, track=wanted), sound_tracks(path)
    chosen = choose_track(tracks, wanted, path)
    title = Text(f"{path}: {info.format}, sound tracks")
    table = Table("", "track", "codec", "channels", "rate", "language", "title", title=title)
    table.title_justify = "left"
    for name in ("default", "start", "length"):
        table.add_column(name)
    for track in tracks:
        cells = (
            "heard" if track is chosen else "",
            track.number,
            track.encoding,
            track.num_channels,
            None if track.sample_rate_hz is None else f"{track.sample_rate_hz} Hz",
            track.language,
            track.title,
            "yes" if track.is_default else "no",
            _time_text(track.start_s),
            _time_text(track.duration_s),
        )
        table.add_row(*(Text("?" if cell is None else str(cell)) for cell in cells))
    console().print(table)


def _time_text(time_s: float | None) -> str | None:
    """A time such as 0:01:02.35; None if the file has none."""
    if time_s is None:
        return None
    hundredths = round(100 * time_s)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 100:02}.{rest % 100:02}"


def lm_text(bundle: "Bundle") -> str:
    """A bundle's language model in words. Raises InputError if its file is not a model."""
    from ds2.model.bundle import LM
    from ds2.ngram.binary import map_model

    if bundle.lm_path is None:
        stray = (bundle.path / LM).exists()
        return (
            f"none: {LM} is not part of the bundle: `ds2 bundle add-lm` adds it"
            if stray
            else "none"
        )
    model = map_model(bundle.lm_path)
    counts = " + ".join(f"{count:,}" for count in model.counts)
    return (
        f"{len(model.counts)}-grams of {model.facts.unit}s: {counts}; {megabytes(model.num_bytes)}"
    )


def decoding_text(settings: "BeamSettings") -> str:
    """The settings of a beam search in words."""
    price = settings.unknown_word_score
    unknown = "none allowed" if price is None else f"{price:g} each"
    calibration = "not calibrated"
    if (settings.confidence_slope, settings.confidence_offset) != (1, 0):
        slope, offset = settings.confidence_slope, settings.confidence_offset
        calibration = f"calibrated, log-odds x {slope:.3g} {offset:+.3g}"
    priors = f", priors {settings.prior_weight:g}" if settings.prior_weight else ""
    return (
        f"beam {settings.beam_width}, alpha {settings.lm_weight:g}, beta {settings.word_bonus:g}"
        f"{priors}, unknown words: {unknown}; confidence: {calibration}"
    )


def _latency(latency_s: float | None) -> str:
    if latency_s is None:
        return "the whole utterance: this model does not stream"
    return f"{1000 * latency_s:.0f} ms of audio after each moment, and a chunk (200 ms)"


def _flat(name: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{name}.{key}", value)
        else:
            is_rate = key.endswith(RATES) and isinstance(value, float)
            yield f"{name}.{key}", f"{100 * value:.1f}%" if is_rate else str(value)
