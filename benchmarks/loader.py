"""Measure how fast training data loads: from tar shards, single files and webdataset.

`python benchmarks/loader.py MANIFEST` writes the manifest's utterances as single FLAC files and
as shards, with the same bytes in both. Then it measures, in hours of audio per second of wall
clock:

- reading: it reads the bytes of every recording without decoding. Cold: it drops the system's
  cache of these files before (Linux; caches in the disk itself stay). webdataset's own reader
  reads the same shards.
- minibatches: it decodes, computes features and pads as in training, with 0, 1 and 2 processes.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ds2.manifest import Utterance, read_manifest, write_manifest
from ds2.model.features import FeatureConfig
from ds2.shards.reading import read_members, read_shards
from ds2.shards.writing import ShardSettings, recording_of, write_shards
from ds2.training.config import DataConfig, RunConfig, TrainingConfig
from ds2.training.run.parts import load_data

Times = dict[str, list[float]]


def write_files(utterances: list[Utterance], directory: Path) -> Path:
    """Write single FLAC files with a manifest, in the manifest's order."""
    directory.mkdir()
    written = []
    for number, utterance in enumerate(utterances):
        data, extension, duration_s = recording_of(utterance, "flac")
        path = directory / f"{number:08d}{extension}"
        path.write_bytes(data)
        written.append(Utterance(path, duration_s, utterance.text))
    write_manifest(directory / "manifest.jsonl", written)
    return directory / "manifest.jsonl"


def forget(directory: Path) -> None:
    """Drop the files' pages from the system's cache."""
    os.sync()
    for path in directory.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read_files(manifest: Path, seed: int) -> None:
    """Read all recordings in random order, as training does."""
    utterances = read_manifest(manifest)
    for index in torch.randperm(len(utterances), generator=torch.Generator().manual_seed(seed)):
        utterances[index].audio_path.read_bytes()


def read_all_shards(directory: Path) -> None:
    """Read all recordings, shard by shard."""
    shards = read_shards([str(directory)])
    for number, url in enumerate(shards.urls):
        wanted = [(i, place) for i, place in enumerate(shards.places) if place[0] == number]
        for _ in read_members(url, wanted):
            pass


def read_with_webdataset(directory: Path) -> None:
    """Read all recordings with webdataset's reader."""
    import webdataset

    urls = sorted(map(str, directory.glob("*.tar")))
    for sample in webdataset.WebDataset(urls, shardshuffle=False):
        assert sample["flac"]


def load_minibatches(source: Path, dev: Path, num_workers: int) -> tuple[int, float]:
    """Load an epoch as in training; return the number of minibatches and the share of padding."""
    config = RunConfig(
        data=DataConfig(
            (str(source),), (dev,), num_workers=num_workers, max_duration_s=60.0, skip_bad=True
        ),
        features=FeatureConfig(),
        training=TrainingConfig(epochs=2),
    )
    with tempfile.TemporaryDirectory() as run_dir:
        data = load_data(config, Path(run_dir), None)
    num_batches, valid, padded = 0, 0, 0
    with started():
        for batch in data.batches.load([1], 0, torch.device("cpu")):
            num_batches += 1
            valid += int(batch.frame_lengths.sum())
            padded += batch.features.shape[0] * batch.features.shape[1]
    return num_batches, 1 - valid / padded


CLOCK = [0.0]


@contextmanager
def started() -> Iterator[None]:
    """Measure the time of the block inside."""
    begun_s = time.perf_counter()
    yield
    CLOCK[0] = time.perf_counter() - begun_s


def timed(act: Callable[[], object]) -> float:
    with started():
        act()
    return CLOCK[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--shard-mb", type=float, default=16.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument(
        "--work", type=Path, help="directory for the files (default: a temporary one)"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        directory = Path(name)
        utterances = [u for u in read_manifest(args.manifest) if u.text]
        files = write_files(utterances, directory / "files")
        shards = directory / "shards"
        write_shards(
            read_manifest(files), shards, ShardSettings(shard_mb=args.shard_mb, form="keep")
        )
        hours = sum(u.duration_s or 0 for u in read_manifest(files)) / 3600
        num_shards = len(list(shards.glob("*.tar")))
        size = sum(path.stat().st_size for path in shards.glob("*.tar")) / 1e6
        print(f"{len(utterances)} utterances, {hours:.3f} h, {num_shards} shards, {size:.1f} MB\n")
        print("| reading | cold, h/s | warm, h/s |\n|---|---|---|")
        for title, act in (
            ("single files", lambda: read_files(files, 0)),
            ("shards", lambda: read_all_shards(shards)),
            ("shards by webdataset", lambda: read_with_webdataset(shards)),
        ):
            cold = []
            for _ in range(args.repeat):
                forget(files.parent)
                forget(shards)
                cold.append(timed(act))
            warm = [timed(act) for _ in range(args.repeat)]
            print(f"| {title} | {hours / min(cold):.1f} | {hours / min(warm):.1f} |", flush=True)
        write_manifest(directory / "dev.jsonl", read_manifest(files)[:1])
        print("\n| minibatches | processes | h/s | padding |\n|---|---|---|---|")
        for num_workers in args.workers:
            for title, source in (("single files", files), ("shards", shards)):
                best = float("inf")
                for _ in range(args.repeat):
                    _, padding = load_minibatches(source, directory / "dev.jsonl", num_workers)
                    best = min(best, CLOCK[0])
                print(
                    f"| {title} | {num_workers} | {hours / best:.2f} | {padding:.1%} |", flush=True
                )


if __name__ == "__main__":
    main()
