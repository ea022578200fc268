"""`ds2 corpus shard`: writes a corpus as tar shards, to train from a disk or object storage."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ds2.cli.options.jobs import add_jobs, jobs_of
from ds2.cli.screen.terminal import make_directory, positive, tracked
from ds2.errors import InputError


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to `ds2 corpus`."""
    parser = actions.add_parser(
        "shard",
        help="write a corpus as tar shards, for training at scale",
        description="Read a manifest, cut its utterances out of their recordings, and write them "
        "into tar files of about the same size. The files have WebDataset's layout: KEY.flac and "
        "KEY.json. ds2 also writes a list beside each file, and an index. It verifies and keeps "
        'the shards that exist. Train with data.train = ["DIR/index.json"] or '
        '["s3://BUCKET/NAME-{00000..00099}.tar"].',
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="manifest to read")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="directory for the shards"
    )
    parser.add_argument(
        "--shard-mb",
        type=positive,
        default=256,
        metavar="MB",
        help="approximate size of a shard, in millions of bytes (default: 256)",
    )
    parser.add_argument(
        "--format",
        choices=("flac", "opus", "keep"),
        default="flac",
        help="audio format: flac is lossless, with 16 kHz and 16 bits; opus is lossy, and a sixth "
        "of the size; keep copies whole files as they are (default: flac)",
    )
    parser.add_argument(
        "--name", help="name of the shards, as in NAME-00000.tar (default: the manifest's name)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed for the random order of the utterances (default: 0)",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out recordings that ds2 cannot read"
    )
    add_jobs(parser)
    parser.set_defaults(act=shard)


def shard(args: argparse.Namespace) -> None:
    """Write the shards, and print their number, hours and size."""
    from ds2.manifest import read_manifest
    from ds2.shards.writing import ShardSettings, write_shards

    name = args.name or args.manifest.name.partition(".")[0] or "train"
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise InputError(f"--name {name}: use letters, digits, - and _")
    if args.seed < 0:
        raise InputError(f"--seed {args.seed}: must be 0 or more")
    utterances = read_manifest(args.manifest)
    make_directory(args.output)

    def track(done: Iterable[dict[str, Any]], total: int) -> Iterable[dict[str, Any]]:
        return tracked(done, "Writing shards", total)

    settings = ShardSettings(name, args.shard_mb, args.format, args.seed, args.skip_bad)
    index = write_shards(utterances, args.output, settings, jobs_of(args), track)
    shards = index["shards"]
    for shard in shards:
        for problem in shard["left_out"]:
            print(f"left out: {problem}", file=sys.stderr)
    print(
        f"{args.output / 'index.json'}: {len(shards)} shards, "
        f"{sum(shard['num_utterances'] for shard in shards)} utterances, "
        f"{sum(shard['hours'] for shard in shards):.2f} h, "
        f"{sum(shard['bytes'] for shard in shards) / 1e6:.1f} MB",
        file=sys.stderr,
    )
