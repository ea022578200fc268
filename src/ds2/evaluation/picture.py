"""A recording as the model sees it: waveform, spectrogram and character posteriors over time."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ds2.audio import SAMPLE_RATE_HZ
from ds2.installation import needing
from ds2.text.alphabet import Alphabet
from ds2.transcripts.transcript import Transcript

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 60
"""Labels drawn at most; the most probable ones win."""

CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "Droid Sans Fallback",
)


def draw_recognition(
    waveform: NDArray[np.float32],
    features: NDArray[np.float32],
    log_probs: NDArray[np.float32],
    transcript: Transcript,
    alphabet: Alphabet,
    title: str,
) -> "Figure":
    """Draw one recognised recording; `figure.savefig(path)` writes it.

    waveform: (N,) float32, 16 kHz.
    features: (T, F), the model's input.
    log_probs: (T', V), the model's output.
    """
    figure_class = import_figure()
    duration_s = max(len(waveform) / SAMPLE_RATE_HZ, 1e-3)
    width = float(np.clip(2.2 * duration_s, 9, 60))
    figure = figure_class(figsize=(width, 9), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[1, 2, 3])
    _draw_waveform(axes[0], waveform, transcript)
    _draw_spectrogram(axes[1], features, duration_s)
    _draw_posteriors(axes[2], log_probs, alphabet, duration_s)
    axes[0].set_title(title, loc="left", fontsize=10)
    axes[2].set_xlabel("time (s)")
    axes[2].set_xlim(0, duration_s)
    return figure


def import_figure() -> "type[Figure]":
    """matplotlib's figure, with fonts for Chinese. Raises InputError if it is not installed."""
    with needing("show", told="drawing"):
        from matplotlib import font_manager, rcParams
        from matplotlib.figure import Figure
    installed = {font.name for font in font_manager.fontManager.ttflist}
    found = [name for name in CJK_FONTS if name in installed]
    rcParams["font.family"] = ["DejaVu Sans", *found]
    return Figure


def _draw_waveform(axes: "Axes", waveform: NDArray[np.float32], transcript: Transcript) -> None:
    times_s, low, high = _envelope(waveform)
    axes.fill_between(times_s, low, high, color="0.4", linewidth=0)
    top = max(float(np.max(np.abs(waveform), initial=0)), 1e-3)
    axes.set_ylim(-top, 1.6 * top)
    axes.set_ylabel("waveform")
    for word in transcript.words:
        axes.axvspan(word.start_s, word.end_s, color="C0", alpha=0.15, linewidth=0)
        middle = (word.start_s + word.end_s) / 2
        label = drawable(word.text)
        axes.text(middle, 1.25 * top, label, ha="center", fontsize=9, rotation=0, clip_on=True)


def _envelope(
    waveform: NDArray[np.float32], num_points: int = 4000
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest sample of each of some thousand stretches: true, and fast to draw."""
    step = max(1, len(waveform) // num_points)
    whole = waveform[: len(waveform) // step * step].reshape(-1, step)
    times_s = (np.arange(len(whole)) + 0.5) * step / SAMPLE_RATE_HZ
    return times_s, whole.min(axis=1), whole.max(axis=1)


def _draw_spectrogram(axes: "Axes", features: NDArray[np.float32], duration_s: float) -> None:
    if len(features):
        low, high = np.percentile(features, [2, 99.8])
        extent = (0, duration_s, 0, SAMPLE_RATE_HZ / 2000)
        axes.imshow(
            features.T,
            origin="lower",
            aspect="auto",
            extent=extent,
            vmin=low,
            vmax=high,
            cmap="magma",
        )
    axes.set_ylabel("frequency (kHz)")


def _draw_posteriors(
    axes: "Axes", log_probs: NDArray[np.float32], alphabet: Alphabet, duration_s: float
) -> None:
    probabilities = np.exp(log_probs)
    rows = _rows_to_draw(probabilities)
    names = ["blank", *(drawable(symbol) for symbol in alphabet.symbols)]
    if len(log_probs):
        extent = (0, duration_s, len(rows) - 0.5, -0.5)
        axes.imshow(
            probabilities[:, rows].T,
            aspect="auto",
            extent=extent,
            vmin=0,
            vmax=1,
            cmap="Blues",
            interpolation="nearest",
        )
    axes.set_yticks(range(len(rows)), [names[row] for row in rows], fontsize=8)
    axes.set_ylabel("posterior")


def _rows_to_draw(probabilities: NDArray[np.float32]) -> list[int]:
    """The labels that matter anywhere, in the order in which they first peak; blank on top."""
    if not len(probabilities):
        return [0]
    peaks = probabilities.max(axis=0)
    rows = [int(row) for row in np.argsort(-peaks)[: MAX_ROWS + 1] if row and peaks[row] > 0.05]
    first_peak = np.argmax(probabilities > 0.5 * peaks, axis=0)
    return [0, *sorted(rows, key=lambda row: int(first_peak[row]))]


def drawable(symbol: str) -> str:
    """The symbol, or its code point where no installed font can draw it; space as an open box."""
    from matplotlib import rcParams

    if symbol == " ":
        return "\N{OPEN BOX}"
    if len(rcParams["font.family"]) > 1 or all(ord(letter) < 0x2E80 for letter in symbol):
        return symbol
    return " ".join(f"U+{ord(letter):04X}" for letter in symbol)
