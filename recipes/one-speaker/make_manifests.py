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


def make_manifests(
    recordings: Path, directory: Path, num_test: int = NUM_TEST, num_dev: int = NUM_DEV
) -> None:
    """Write the manifests. The choice is random, and always the same for the same words.

    A word has one recording, so no word is in two of train, dev and test. Raises ValueError if
    nothing is left for training.
    """
    records = read_words(recordings)
    if len(records) <= num_test + num_dev:
        raise ValueError(
            f"{recordings}: has {len(records)} recordings cmn-WORD.mp3: it must have more than "
            f"{num_test + num_dev}"
        )
    random.Random(0).shuffle(records)
    train = records[num_test + num_dev :]
    directory.mkdir(parents=True, exist_ok=True)
    write_manifest(directory / "test.jsonl", records[:num_test])
    write_manifest(directory / "dev.jsonl", records[num_test : num_test + num_dev])
    write_manifest(directory / "train.jsonl", train)
    for minutes in MINUTES:
        write_manifest(directory / f"train-{minutes}.jsonl", first_minutes(train, minutes))


def main() -> None:
    """Run the program."""
    if len(sys.argv) != 3:
        sys.exit("usage: python make_manifests.py RECORDINGS DIRECTORY")
    try:
        make_manifests(Path(sys.argv[1]), Path(sys.argv[2]))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
