"""Make the clips of this directory, and their manifest, with the espeak-ng synthesiser.

Usage: python samples/make_samples.py [DIRECTORY]    (default: the directory of this file)

The same version of espeak-ng, and of FFmpeg within PyAV, makes the same bytes again.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from ds2.atomic import atomic_write
from ds2.audio import SAMPLE_RATE_HZ, Waveform, read_audio

BIT_RATE = 24_000  # clear speech in some 3 KB a second


@dataclass(frozen=True)
class Clip:
    """One sentence and who says it."""

    name: str
    language: str
    voice: str  # of espeak-ng; the part after + changes the speaker
    words_per_minute: int
    text: str


# espeak-ng 1.51 reads Chinese characters rightly with the pinyin voice; its "cmn" spells them out
# as if they were English.
CLIPS = (
    Clip("en-1", "en", "en-us", 150, "Could you please call me back tomorrow morning before nine?"),
    Clip("en-2", "en", "en-gb+f3", 155, "The next train to the city leaves from platform four."),
    Clip("zh-1", "zh", "cmn-latn-pinyin", 150, "今天天气很好，我们去公园走走吧。"),
    Clip("zh-2", "zh", "cmn-latn-pinyin+f3", 150, "请问，去火车站怎么走？"),
)


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    lines = []
    for clip in CLIPS:
        waveform = synthesised(clip)
        path = directory / f"{clip.name}.ogg"
        write_opus(path, waveform)
        lines.append(manifest_line(clip, path.name, len(waveform) / SAMPLE_RATE_HZ))
    write_lines(directory / "manifest.jsonl", lines)
    for language in ("en", "zh"):
        of_language = [line for line in lines if json.loads(line)["language"] == language]
        write_lines(directory / f"manifest-{language}.jsonl", of_language)


def write_lines(path: Path, lines: list[str]) -> None:
    with atomic_write(path) as file:
        file.writelines(lines)


def synthesised(clip: Clip) -> Waveform:
    """The sentence as (N,) float32 at 16 kHz."""
    command = ["espeak-ng", "-v", clip.voice, "-s", str(clip.words_per_minute), "--stdout"]
    spoken = subprocess.run([*command, clip.text], check=True, capture_output=True)
    return read_audio(spoken.stdout)


def manifest_line(clip: Clip, filename: str, duration_s: float) -> str:
    fields = {
        "audio_filepath": filename,
        "duration": round(duration_s, 3),
        "text": clip.text,
        "language": clip.language,
        "speaker": f"espeak-ng {clip.voice}",
        "source": f"espeak-ng {espeak_version()} voice {clip.voice}",
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


def espeak_version() -> str:
    told = subprocess.run(["espeak-ng", "--version"], check=True, capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", told.stdout)
    return found[0] if found else "of unknown version"


def write_opus(path: Path, waveform: Waveform) -> None:
    """Write (N,) float32 at 16 kHz as Ogg Opus, without the random serial number FFmpeg gives."""
    samples = np.rint(waveform * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE_HZ
    with (
        atomic_write(path, "wb") as file,
        av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as container,
    ):
        stream = container.add_stream("libopus", rate=SAMPLE_RATE_HZ, layout="mono")
        stream.bit_rate = BIT_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
