"""Measure the hours of audio per hour on this device: train for some minutes.

    python recipes/gpu/hours_per_hour.py --minutes 3 --preset small \
        --augment-on device --augment-on cpu data/*/manifest.jsonl

Each kind of augmentation gets these minutes, on the same minibatches. A step does all that a step
of `ds2 train` does. The first steps are not counted, because they fill caches and choose kernels.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from ds2.manifest import read_manifest, write_manifest
from ds2.training.config import RunConfig, load_config
from ds2.training.run.distributed import started_workers
from ds2.training.run.parts import build_model, load_data
from ds2.training.run.step import Stepper


def settings(args: argparse.Namespace, work: Path, augment_on: str) -> RunConfig:
    """The settings of a run on the manifests."""
    dev = work / "dev.jsonl"
    write_manifest(dev, read_manifest(args.manifests[0])[:1])
    path = work / "run.toml"
    path.write_text(f'[network]\npreset = "{args.preset}"\n')
    values = {
        "data.train": [str(manifest.resolve()) for manifest in args.manifests],
        "data.dev": [str(dev)],
        "data.noise": [str(args.noise.resolve())] if args.noise else [],
        "data.skip_bad": "true",
        "data.augment_on": augment_on,
        "data.batch_seconds": args.batch_seconds,
        "data.max_batch_size": 256,
        "data.num_workers": args.workers,
        "training.sortagrad": "false",
        "training.bf16": "true" if args.bf16 else "false",
        "training.device": args.device,
    }
    return load_config(path, [f"{key}={value}" for key, value in values.items()])


def measure(config: RunConfig, minutes: float, warm_up_steps: int, work: Path) -> float:
    """Train for some minutes; return the hours of audio per hour without the first steps."""
    with started_workers(config.training.device) as (workers, device):
        data = load_data(config, work, None, device=device)
        model = build_model(config, len(data.alphabet), None, device)
        stepper = Stepper(model.network, model.optimisers, config.training, workers, device)
        durations_s = [example.duration_s for example in data.selection.examples]
        batches = data.batches.load(range(1, 1000), 0, device)
        audio_s, begun_s, step = 0.0, time.perf_counter(), 0
        while time.perf_counter() - begun_s < 60 * minutes:
            batch = next(batches)
            stepper.step([batch], len(batch.indices), step, config.training.learning_rate)
            audio_s += sum(durations_s[index] for index in batch.indices)
            step += 1
            if step == warm_up_steps:
                audio_s, begun_s = 0.0, time.perf_counter()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return audio_s / (time.perf_counter() - begun_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--minutes", type=float, default=3.0, help="for each kind (default: 3)")
    parser.add_argument("--warm-up-steps", type=int, default=20)
    parser.add_argument("--augment-on", action="append", choices=["cpu", "device"])
    parser.add_argument("--batch-seconds", type=float, default=600.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--float32", dest="bf16", action="store_false")
    args = parser.parse_args()
    precision = "bfloat16" if args.bf16 else "float32"
    print(f"{args.preset}, {precision}, {args.batch_seconds:g} s a minibatch\n")
    print("| augmentation on | hours per hour |\n|---|---|", flush=True)
    for augment_on in args.augment_on or ["device", "cpu"]:
        with tempfile.TemporaryDirectory() as name:
            config = settings(args, Path(name), augment_on)
            speed = measure(config, args.minutes, args.warm_up_steps, Path(name))
        print(f"| {augment_on} | {speed:.0f} |", flush=True)


if __name__ == "__main__":
    main()
