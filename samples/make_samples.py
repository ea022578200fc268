"""Make the clips of this directory, and their manifests, with the Kokoro synthesiser.

Usage: python samples/make_samples.py KOKORO_ONNX VOICES_DIR [DIRECTORY]

KOKORO_ONNX is the model, VOICES_DIR holds a .bin of (510, 1, 256) float32 for each voice; the clips
go to the directory of this file if no other is named. Needs kokoro-onnx and misaki[zh]; README.md
says where all that comes from.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import soxr
from kokoro_onnx import Kokoro
from misaki import zh

from ds2.audio import SAMPLE_RATE_HZ, Waveform
from ds2.files import atomic_write

BIT_RATE = 24_000  # clear speech with about 3 KB a second


@dataclass(frozen=True)
class Clip:
    """A sentence and its voice."""

    name: str
    language: str
    voice: str  # Kokoro's names: American or British English or Mandarin, female or male, a name
    text: str

    @property
    def accent(self) -> str:
        return "en-gb" if self.voice.startswith("b") else "en-us"


CLIPS = (
    Clip("en-1", "en", "bf_emma", "Could you please call me back tomorrow morning before nine?"),
    Clip("en-2", "en", "am_michael", "The next train to the city leaves from platform four."),
    Clip("zh-1", "zh", "zm_yunjian", "今天天气很好，我们去公园走走吧。"),
    Clip("zh-2", "zh", "zf_xiaobei", "请问，去火车站怎么走？"),
)


def main() -> None:
    """Speak, and write clips and manifests."""
    model, voices_dir, *elsewhere = map(Path, sys.argv[1:])
    directory = elsewhere[0] if elsewhere else Path(__file__).parent
    kokoro = load(model, voices_dir)
    lines = []
    for clip in CLIPS:
        waveform = synthesised(clip, kokoro)
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


def load(model: Path, voices_dir: Path) -> Kokoro:
    """The synthesiser, with the voices of the clips in the single file that it reads."""
    voices = {
        clip.voice: np.fromfile(voices_dir / f"{clip.voice}.bin", np.float32).reshape(510, 1, 256)
        for clip in CLIPS
    }
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "voices.npz"
        np.savez(path, **voices)
        return Kokoro(str(model), str(path))


def synthesised(clip: Clip, kokoro: Kokoro) -> Waveform:
    """The sentence as (N,) float32 at 16 kHz."""
    if clip.language == "zh":
        phonemes, _ = zh.ZHG2P()(clip.text)
    else:
        phonemes = kokoro.tokenizer.phonemize(clip.text, clip.accent)
    spoken, rate_hz = kokoro.create(phonemes, clip.voice, is_phonemes=True, trim=False)
    return soxr.resample(spoken, rate_hz, SAMPLE_RATE_HZ).astype(np.float32)


def manifest_line(clip: Clip, filename: str, duration_s: float) -> str:
    fields = {
        "audio_filepath": filename,
        "duration": round(duration_s, 3),
        "text": clip.text,
        "language": clip.language,
        "speaker": f"Kokoro {clip.voice}",
        "source": f"Kokoro-82M by kokoro-onnx {version('kokoro-onnx')}, voice {clip.voice}",
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


def write_opus(path: Path, waveform: Waveform) -> None:
    """Write (N,) float32 at 16 kHz as Ogg Opus, without FFmpeg's random serial number."""
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
