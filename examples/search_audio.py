"""Find words in hours of audio, with their times.

    python examples/search_audio.py FOLDER "WORDS" [--index FOLDER] [-m MODEL]

The first search recognises each recording once. Later searches read the transcripts of the index.
"""

import argparse
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

CONTEXT = 3  # words shown on either side


def places(words: list[dict], wanted: list[str]) -> list[int]:
    """The places where the wanted words follow each other, each as the index of the first word."""
    said = [word["word"].lower() for word in words]
    last = len(said) - len(wanted)
    return [at for at in range(last + 1) if said[at : at + len(wanted)] == wanted]


def main() -> int:
    """Recognise the recordings that the index lacks, and search; return 1 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("words")
    parser.add_argument("--index", type=Path, default=Path("search-index"))
    parser.add_argument("-m", "--model", default="en")
    args = parser.parse_args()

    if not any(args.index.rglob("*.json")):
        command = [sys.executable, "-m", "ds2", "transcribe", str(args.folder), "-f", "json"]
        subprocess.run([*command, "-m", args.model, "-o", str(args.index)], check=True)
    num_found = 0
    for path in sorted(args.index.rglob("*.json")):
        transcript = json.loads(path.read_text(encoding="utf-8"))
        words = [word for segment in transcript["segments"] for word in segment["words"]]
        for at in places(words, args.words.lower().split()):
            time = timedelta(seconds=round(words[at]["start"], 1))
            around = words[max(0, at - CONTEXT) : at + len(args.words.split()) + CONTEXT]
            text = " ".join(word["word"] for word in around)
            print(f"{path.relative_to(args.index).with_suffix('')}\t{str(time)[:9]}\t{text}")
            num_found += 1
    return 0 if num_found else 1


if __name__ == "__main__":
    sys.exit(main())
