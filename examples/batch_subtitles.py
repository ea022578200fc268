"""Write subtitles for every recording in a folder.

    python examples/batch_subtitles.py FOLDER OUTPUT [MODEL]

The program names a recording that it cannot read, and goes on with the others.
"""

import os
import sys
from pathlib import Path

from ds2 import InputError, Recognizer
from ds2.transcripts.transcript import LineShape, to_srt

ENDINGS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm", ".mp4", ".mkv"}
SHAPE = LineShape(max_line_width=42, max_line_count=2)


def main() -> int:
    """Transcribe in parallel and write each result when it is ready; return 1 if one failed."""
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    model = sys.argv[3] if len(sys.argv) > 3 else "en"
    recordings = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    recognizer = Recognizer.load(model)
    failures = 0
    for index, result in recognizer.transcribe_many(recordings, jobs=os.cpu_count() or 1):
        if isinstance(result, InputError):
            print(result, file=sys.stderr)
            failures += 1
            continue
        path = output / recordings[index].relative_to(folder).with_suffix(".srt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_srt(result, SHAPE), encoding="utf-8")
        print(path)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
