"""Draw a recording as the model sees it: waveform, spectrogram and character posteriors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ds2.audio import SAMPLE_RATE_HZ
from ds2.evaluation.figure import choose_fonts, drawable, import_figure
from ds2.text.alphabet import Alphabet
from ds2.transcripts.transcript import Transcript

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 60
"""The picture has at most this number of labels, the most probable ones."""


def draw_recognition(
    waveform: NDArray[np.float32],
    features: NDArray[np.float32],
    log_probs: NDArray[np.float32],
    transcript: Transcript,
    alphabet: Alphabet,
    title: str,
) -> "tuple[Figure, set[str]]":
    """Draw a recognised recording; `write_figure` writes the figure.

    The second result is the characters that no installed font has. Code points stand for them.

    waveform: (N,) float32, 16 kHz.
    features: (T, F), the model's input.
    log_probs: (T', V), the model's output.
    """
    figure_class = import_figure()
    names = ["blank", *alphabet.symbols]
    rows = _rows_to_draw(log_probs)
    missing = choose_fonts("".join([title, transcript.text, *(names[row] for row in rows)]))
    duration_s = max(len(waveform) / SAMPLE_RATE_HZ, 1e-3)
    width = float(np.clip(2.2 * duration_s, 9, 60))
    figure = figure_class(figsize=(width, 9), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[1, 2, 3])
    _draw_waveform(axes[0], waveform, transcript, missing)
    _draw_spectrogram(axes[1], features, duration_s)
    shown = [drawable(names[row], missing) for row in rows]
    _draw_posteriors(axes[2], np.exp(log_probs[:, rows]), shown, duration_s)
    axes[0].set_title(
        "".join(drawable(c, missing, space=" ") for c in title), loc="left", fontsize=10
    )
    axes[2].set_xlabel("time (s)")
    axes[2].set_xlim(0, duration_s)
    return figure, missing


def _draw_waveform(
    axes: "Axes", waveform: NDArray[np.float32], transcript: Transcript, missing: set[str]
) -> None:
    times_s, low, high = _envelope(waveform)
    axes.fill_between(times_s, low, high, color="0.4", linewidth=0)
    top = max(float(np.max(np.abs(waveform), initial=0)), 1e-3)
    axes.set_ylim(-top, 1.6 * top)
    axes.set_ylabel("waveform")
    for word in transcript.words:
        axes.axvspan(word.start_s, word.end_s, color="C0", alpha=0.15, linewidth=0)
        middle = (word.start_s + word.end_s) / 2
        label = drawable(word.text, missing)
        axes.text(middle, 1.25 * top, label, ha="center", fontsize=9, rotation=0, clip_on=True)


def _envelope(
    waveform: NDArray[np.float32], num_points: int = 4000
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Time, lowest and highest sample of each of some thousand pieces: exact, and fast to draw."""
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
    axes: "Axes", probabilities: NDArray[np.float32], names: Sequence[str], duration_s: float
) -> None:
    """Draw posteriors. probabilities: (T', L) of the drawn labels; names: their L names."""
    if len(probabilities):
        extent = (0, duration_s, len(names) - 0.5, -0.5)
        axes.imshow(
            probabilities.T,
            aspect="auto",
            extent=extent,
            vmin=0,
            vmax=1,
            cmap="Blues",
            interpolation="nearest",
        )
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylabel("posterior")


def _rows_to_draw(log_probs: NDArray[np.float32]) -> list[int]:
    """The labels that are probable anywhere, in the order of their first peaks; the blank first."""
    if not len(log_probs):
        return [0]
    probabilities = np.exp(log_probs)
    peaks = probabilities.max(axis=0)
    rows = [int(row) for row in np.argsort(-peaks)[: MAX_ROWS + 1] if row and peaks[row] > 0.05]
    first_peak = np.argmax(probabilities > 0.5 * peaks, axis=0)
    return [0, *sorted(rows, key=lambda row: int(first_peak[row]))]
