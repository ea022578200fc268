"""Transcribe the sample clips with the shipped models, and show each text beside the true text."""

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ds2 import Recognizer
from ds2.manifest import read_manifest

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Print a table: clip, seconds of audio, true text, recognised text."""
    console = Console()
    table = Table(title="ds2 on the sample clips (synthesised speech)")
    for heading in ("clip", "audio", "said", "recognised"):
        table.add_column(heading, overflow="fold")
    audio_s = computing_s = 0.0
    recognizers: dict[str, Recognizer] = {}
    for utterance in read_manifest(ROOT / "samples" / "manifest.jsonl"):
        language = str(utterance.language)
        if not (ROOT / "models" / language).is_dir():
            table.add_row(utterance.audio_path.name, "", utterance.text, "(no model yet)")
            continue
        if language not in recognizers:
            recognizers[language] = Recognizer.load(ROOT / "models" / language)
        start_s = time.perf_counter()
        transcript = recognizers[language].transcribe(utterance.audio_path)
        computing_s += time.perf_counter() - start_s
        audio_s += transcript.duration_s
        row = utterance.audio_path.name, f"{transcript.duration_s:.1f} s"
        table.add_row(*row, utterance.text, transcript.text)
    console.print(table)
    console.print(
        f"{audio_s:.1f} s of audio in {computing_s:.2f} s. "
        "Your own recording: .venv-demo/bin/ds2 transcribe FILE -m en"
    )


if __name__ == "__main__":
    main()
