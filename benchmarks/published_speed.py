"""Compare the speed of a network of PaddleSpeech's published size in PaddlePaddle and in ds2.

    PYTHONPATH=src:tests PY benchmarks/published_speed.py SOURCE

PY has paddlepaddle, ds2's runtime and its `import` extra. SOURCE is PaddleSpeech's unpacked
repository. The network has random weights and 5 forward LSTM layers of 1024. The figures are CPU
seconds for 10 seconds of features with one thread, and the runs alternate. The last row streams in
steps of 200 ms, with the features.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from aids.originals import Paddle, noise_waveform, normalise, write_belongings
from ds2.importing.paddlespeech import read_paddlespeech
from ds2.importing.writing import write_imported
from ds2.model.acoustic import AcousticModel
from ds2.model.front_end import stream_frames

SECONDS = 10.0
BINS, HIDDEN = 161, 1024
SETTINGS = {"rnn_direction": "forward", "use_gru": False, "num_rnn_layers": 5}
CHUNK = 20


def whole(model: AcousticModel, features: Any) -> Callable[[], Any]:
    facts = model.bundle.model
    num_frames = (facts.delay + facts.num_outputs(len(features))) * facts.time_stride
    padded = np.zeros((1, num_frames, BINS), np.float32)
    padded[0, : len(features)] = features[:num_frames]
    lengths = np.array([len(features)])
    return lambda: model.step(padded, model.initial_state(1), lengths)[0]


def streamed(model: AcousticModel, waveform: Any) -> Callable[[], Any]:
    def run() -> Any:
        frames, state = stream_frames(model.bundle.features), model.initial_state(1)
        pending = np.empty((0, BINS), np.float32)
        for start in range(0, len(waveform), 160 * CHUNK):
            new = frames.feed(waveform[start : start + 160 * CHUNK])
            pending = np.concatenate([pending, new])
            if len(pending) >= CHUNK:
                log_probs, state = model.step(pending[np.newaxis, :CHUNK], state)
                pending = pending[CHUNK:]
        return log_probs

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    original = Paddle("paddlespeech", args.source)
    waveform = noise_waveform(SECONDS)
    features = normalise("paddlespeech", original.features(waveform, BINS)).astype(np.float32)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        network, _ = original.build(SETTINGS, BINS, HIDDEN, folder)
        original.save(network, write_belongings("paddlespeech", SETTINGS, folder, BINS))
        imported = read_paddlespeech(folder)
        runs = {"PaddlePaddle, float32": lambda: original.log_probs(network, features)}
        for precision in ("float32", "int8"):
            place = folder / precision
            bundle = write_imported(imported, place, precision=precision)
            model = AcousticModel(bundle)
            runs[f"ds2, {precision}"] = whole(model, features)
            runs[f"ds2, {precision}, 200 ms steps"] = streamed(model, waveform)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(args.rounds + 1):
            for name, run in runs.items():
                start_s = time.process_time()
                run()
                times[name].append(time.process_time() - start_s)
    table = Table("10 s of audio, one thread", "CPU s", "of PaddlePaddle's", "real-time factor")
    base = median(times["PaddlePaddle, float32"][1:])
    for name, values in times.items():
        cpu_s = median(values[1:])
        table.add_row(name, f"{cpu_s:.2f}", f"{cpu_s / base:.2f}", f"{cpu_s / SECONDS:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
