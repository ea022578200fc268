"""`ds2 corpus shard`: a corpus as tar shards, to train from a disk or object storage."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ds2.cli.screen.terminal import make_directory, positive, tracked
from ds2.errors import InputError


def add_action(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to `ds2 corpus`."""
    parser = actions.add_parser(
        "shard",
        help="put a corpus into tar shards, for training at scale",
        description="Write the utterances of a manifest, cut out of their recordings, into tar "
        "files of about one size that can be read from front to back (WebDataset's layout: "
        "KEY.flac and KEY.json), with a list beside each and an index. What is there already is "
        'verified and kept. Train with data.train = ["DIR/index.json"] or '
        '["s3://BUCKET/NAME-{00000..00099}.tar"].',
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="the utterances")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="directory of the shards"
    )
    parser.add_argument(
        "--shard-mb",
        type=positive,
        default=256,
        metavar="MB",
        help="size of a shard, about, in millions of bytes (256)",
    )
    parser.add_argument(
        "--format",
        choices=("flac", "opus", "keep"),
        default="flac",
        help="flac: 16 kHz, 16 bits, lossless; opus: a sixth of it, lossy; "
        "keep: whole files as they are (flac)",
    )
    parser.add_argument("--name", help="of the shards: NAME-00000.tar (as the manifest is called)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of what comes into which shard (0)"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out recordings that cannot be read"
    )
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="processes (1)")
    parser.set_defaults(act=shard)


def shard(args: argparse.Namespace) -> None:
    """Write the shards and tell how many hours are in how many of them."""
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
    index = write_shards(utterances, args.output, settings, args.jobs, track)
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
