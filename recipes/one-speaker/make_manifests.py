"""Make manifests of one speaker's isolated words, whose texts are the names of the recordings.

python make_manifests.py RECORDINGS DIRECTORY: the recordings are `cmn-WORD.mp3`. The directory gets
test.jsonl, dev.jsonl, train.jsonl, and the first 5, 15 and 45 minutes of train.jsonl.
"""

import json
import random
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import soundfile

NUM_TEST = 600
NUM_DEV = 200
MINUTES = (5, 15, 45)
WORD = re.compile(r"cmn-([\u4e00-\u9fff]{2,})")
"""A name with a whole word: patterns such as 一_就_ have gaps, and single characters often have
homophones, which no model can tell apart."""


def read_words(recordings: Path) -> list[dict[str, Any]]:
    """A manifest's record of each word, sorted by word. Paths are absolute; durations in s."""
    records = []
    for path in sorted(recordings.glob("*.mp3")):
        if match := WORD.fullmatch(path.stem):
            record = {
                "audio_filepath": str(path.resolve()),
                "duration": round(soundfile.info(path).duration, 3),
                "text": match[1],
                "speaker": "Yue Tan",
                "language": "zh",
            }
            records.append(record)
    return records


def first_minutes(records: Iterable[dict[str, Any]], minutes: float) -> list[dict[str, Any]]:
    """The first records that together last no longer than these minutes."""
    chosen, left_s = [], minutes * 60
    for record in records:
        left_s -= record["duration"]
        if left_s < 0:
            break
        chosen.append(record)
    return chosen


def write_manifest(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write a manifest, and say how much it has."""
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")
    minutes = sum(record["duration"] for record in records) / 60
    print(f"{path}: {len(records)} words, {minutes:.1f} minutes")


def main() -> None:
    """Write the manifests. The choice is random, and always the same for the same words."""
    if len(sys.argv) != 3:
        sys.exit("usage: python make_manifests.py RECORDINGS DIRECTORY")
    recordings, directory = Path(sys.argv[1]), Path(sys.argv[2])
    records = read_words(recordings)
    if len(records) <= NUM_TEST + NUM_DEV:
        sys.exit(f"{recordings}: has {len(records)} words cmn-WORD.mp3: it needs more")
    random.Random(0).shuffle(records)
    directory.mkdir(parents=True, exist_ok=True)
    test, dev, train = (
        records[:NUM_TEST],
        records[NUM_TEST : NUM_TEST + NUM_DEV],
        records[NUM_TEST + NUM_DEV :],
    )
    for name, part in (("test", test), ("dev", dev), ("train", train)):
        write_manifest(directory / f"{name}.jsonl", part)
    for minutes in MINUTES:
        write_manifest(directory / f"train-{minutes}.jsonl", first_minutes(train, minutes))


if __name__ == "__main__":
    main()
