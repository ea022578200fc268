"""Features per second of computing, side by side with kaldi-native-fbank, on one core.

    pip install kaldi-native-fbank
    python benchmarks/features.py

kaldi-native-fbank (the front end of sherpa-onnx) has no log-spectrogram. The benchmark measures the
most similar features: its 80-bin log-mel filter bank with the same 20 ms Hann windows every 10 ms
and no dither. One row has the same 320-point FFT, and one has its default of 512 points. Its
binding takes samples one by one from a Python sequence. A third row shows the cost of this, with an
extractor that makes one frame a second, so that you can also compare the arithmetic alone.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import time
from collections.abc import Callable
from importlib.metadata import version
from statistics import median

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from ds2.model.features import FeatureConfig, FeatureStream, log_spectrogram
from figures import Figure, keep

try:
    import kaldi_native_fbank as knf
except ImportError:
    raise SystemExit("this benchmark needs its peer: pip install kaldi-native-fbank") from None

RATE_HZ = 16_000
PIECE_S = 0.2
REPEATS = 15
Extractor = Callable[[list[npt.NDArray[np.float32]]], object]


def ours(normalisation: str) -> Extractor:
    """ds2 on a list of pieces; a single piece is a whole file."""
    config = FeatureConfig(normalisation=normalisation)  # type: ignore[arg-type]

    def extract(pieces: list[npt.NDArray[np.float32]]) -> object:
        if len(pieces) == 1:
            return log_spectrogram(pieces[0], config)
        stream = FeatureStream(config)
        return [*map(stream.feed, pieces), stream.finish()]

    return extract


def theirs(*, power_of_two: bool, stride_ms: float = 10.0) -> Extractor:
    """kaldi-native-fbank on a list of pieces; each frame is fetched as soon as it is ready."""
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = RATE_HZ
    options.frame_opts.frame_length_ms = 20.0
    options.frame_opts.frame_shift_ms = stride_ms
    options.frame_opts.window_type = "hann"
    options.frame_opts.dither = 0.0
    options.frame_opts.round_to_power_of_two = power_of_two
    options.mel_opts.num_bins = 80

    def extract(pieces: list[npt.NDArray[np.float32]]) -> object:
        extractor = knf.OnlineFbank(options)
        frames = []
        for piece in pieces:
            extractor.accept_waveform(RATE_HZ, piece)
            frames += [
                extractor.get_frame(index)
                for index in range(len(frames), extractor.num_frames_ready)
            ]
        return np.stack(frames)

    return extract


EXTRACTORS = {
    "ds2, causal": ours("causal"),
    "ds2, by clip": ours("clip"),
    "kaldi-native-fbank, 320-point FFT": theirs(power_of_two=False),
    "kaldi-native-fbank, 512-point FFT": theirs(power_of_two=True),
    "kaldi-native-fbank, samples in only": theirs(power_of_two=False, stride_ms=1000.0),
}
REFERENCE = "kaldi-native-fbank, 320-point FFT"


def measure(pieces: list[npt.NDArray[np.float32]]) -> dict[str, float]:
    """Median seconds of each extractor; they alternate, so that other work affects all equally."""
    times: dict[str, list[float]] = {name: [] for name in EXTRACTORS}
    for _ in range(REPEATS):
        for name, extract in EXTRACTORS.items():
            start = time.perf_counter()
            extract(pieces)
            times[name].append(time.perf_counter() - start)
    return {name: median(seconds) for name, seconds in times.items()}


def main() -> None:
    rng = np.random.default_rng(0)
    columns = {}
    for label, duration_s, piece_s in [
        ("10 s file", 10, 10),
        ("60 s file", 60, 60),
        ("60 s in 200 ms pieces", 60, PIECE_S),
    ]:
        waveform = (rng.standard_normal(RATE_HZ * duration_s) * 0.05).astype(np.float32)
        pieces = np.split(waveform, round(duration_s / piece_s))
        times = columns[label] = {n: t / duration_s for n, t in measure(pieces).items()}
        ours_ms, theirs_ms = 1e3 * times["ds2, causal"], 1e3 * times[REFERENCE]
        keep(Figure(f"features, {label}", "ms/s", ours_ms, "kaldi-native-fbank", theirs_ms))

    table = Table(
        title=f"ms of one core per second of audio (times as fast as {REFERENCE})\n"
        f"kaldi-native-fbank {version('kaldi-native-fbank')}, numpy {np.__version__}, "
        f"medians of {REPEATS}"
    )
    table.add_column("")
    for label in columns:
        table.add_column(label, justify="right")
    for name in EXTRACTORS:
        cells = [f"{t[name] * 1e3:.3f} ({t[REFERENCE] / t[name]:.1f}x)" for t in columns.values()]
        table.add_row(name, *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
