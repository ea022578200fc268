"""The files that the commands of the documentation name: recordings, texts, manifests, models."""

import gzip
import json
import random
import re
import shutil
from pathlib import Path

import numpy as np
import soundfile

from aids.pages import ROOT, blocks
from ds2.audio import SAMPLE_RATE_HZ, read_audio
from ds2.cli import main

SAID = (
    "Could you please call me back tomorrow morning before nine?",
    "The next train to the city leaves from platform four.",
)
SPOKEN = ((0,), (1,), (0, 1), (1, 0), (0, 0), (1, 1))
"""The sentences of a recording."""
NUM_READERS = 12
WORDS = "the a train city morning platform report friend water door four nine call leaves from to"


def make_material(directory: Path) -> None:
    """Write all files that the pages name into a directory."""
    for name in ("samples", "models", "examples", "recipes", "benchmarks"):
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("data"))
    clips = [read_audio(ROOT / "samples" / f"en-{number}.ogg") for number in (1, 2)]
    _write_recordings(directory, clips)
    _write_texts(directory)
    _write_manifests(directory)
    _write_settings(directory)
    call = np.stack([np.pad(clips[0], (0, 60_000)), np.pad(clips[1], (60_000, 0))[:117_600]], 1)
    soundfile.write(directory / "call.wav", call[:100_000], SAMPLE_RATE_HZ)
    talk = np.concatenate([np.pad(clip, (0, 16_000)) for clip in clips * 3])
    soundfile.write(directory / "talk.mp3", talk, SAMPLE_RATE_HZ)
    soundfile.write(directory / "new-recording.mp3", clips[1], SAMPLE_RATE_HZ)
    (directory / "talk.txt").write_text("A title.\n" + " ".join(SAID * 3) + "\n")
    entry = {"audio_filepath": "talk.mp3", "text": " ".join(SAID * 3), "language": "en"}
    (directory / "talks.jsonl").write_text(json.dumps(entry) + "\n")


def _write_recordings(directory: Path, clips: list[np.ndarray]) -> None:
    """A recording of each reader, and a table with its text."""
    rows = ["file;sentence;reader"]
    rng = np.random.default_rng(0)
    for index in range(NUM_READERS):
        path = directory / "recordings" / f"reader-{index}" / f"{index:04d}.wav"
        path.parent.mkdir(parents=True)
        chosen = SPOKEN[index % len(SPOKEN)]
        clip = np.concatenate([clips[number] for number in chosen])
        noisy = clip + 0.002 * rng.standard_normal(len(clip))
        soundfile.write(path, noisy, SAMPLE_RATE_HZ)
        text = " ".join(SAID[number] for number in chosen)
        rows.append(f"{path.name};{text};reader-{index}")
    (directory / "transcripts.csv").write_text("\n".join(rows) + "\n")
    shutil.copytree(directory / "recordings", directory / "aufnahmen")
    shutil.copy(directory / "transcripts.csv", directory / "recordings")
    (directory / "texte.csv").write_text("\n".join(rows) + "\n")


def _write_texts(directory: Path) -> None:
    """Enough different sentences for the discounts of a language model."""
    for seed, name in enumerate(("texts.txt", "books.txt", "news.txt.gz", "huge.gz")):
        text = "\n".join(sentences(WORDS.split(), " ", seed)) + "\n"
        data = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
        (directory / name).write_bytes(data)
    dev = sentences(WORDS.split(), " ", seed=0)[:50]
    (directory / "dev.txt").write_text("\n".join(dev) + "\n")
    mandarin = sentences([chr(0x4E00 + index) for index in range(900)], "")
    (directory / "zh.txt").write_text("\n".join(mandarin) + "\n", encoding="utf-8")
    (directory / "phrases.txt").write_text("morning:8\nplatform four\n")
    for name in ("lm", "domain", "general"):
        build(directory, "texts.txt", f"{name}.bin")
    arpa = directory / "old.arpa"
    assert main(["lm", "convert", str(directory / "lm.bin"), "-o", str(arpa)]) == 0
    (directory / "old.arpa.gz").write_bytes(gzip.compress(arpa.read_bytes()))


def sentences(words: list[str], space: str, seed: int = 0) -> list[str]:
    """Lines of phrases, some frequent and some rare, so that n-grams of all orders are counted."""
    rng = random.Random(seed)
    syllables = [f"{a}{b}" for a in "bdgklmnprt" for b in ("ada", "orin", "elu", "ixo", "uma")]
    rare = words if not space else [*words, *(a + b for a in syllables for b in syllables)]
    ranks = [1 / rank for rank in range(1, len(rare) + 1)]
    phrases = [space.join(rng.choices(rare, ranks, k=rng.randint(2, 6))) for _ in range(2000)]
    weights = [1 / rank for rank in range(1, len(phrases) + 1)]
    return [space.join(rng.choices(phrases, weights, k=rng.randint(1, 3))) for _ in range(5000)]


def build(directory: Path, text: str, model: str) -> None:
    """A small language model."""
    arguments = ["lm", "build", str(directory / text), "-o", str(directory / model)]
    assert main([*arguments, "--order", "2", "--discount-fallback"]) == 0


def _write_manifests(directory: Path) -> None:
    """The results of importing and splitting the recordings, and packs of the fine-tuning page."""
    manifest = directory / "more.jsonl"
    texts = ["--texts", str(directory / "transcripts.csv")]
    recordings = str(directory / "recordings")
    assert main(["corpus", "import", recordings, *texts, "-o", str(manifest)]) == 0
    split = ["--dev", "20%", "--test", "20%", "-o", str(directory)]
    assert main(["corpus", "split", str(manifest), *split]) == 0
    for pack in ("en-train-read", "en-train-cv", "en-dev"):
        _move_manifest(manifest, directory / "data" / pack / "manifest.jsonl")
    for part in ("train", "dev", "test"):
        _move_manifest(directory / f"{part}.jsonl", directory / "speaker" / f"{part}.jsonl")


def _move_manifest(source: Path, target: Path) -> None:
    """A copy with absolute paths."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for line in source.read_text().splitlines():
        fields = json.loads(line)
        fields["audio_filepath"] = str((source.parent / fields["audio_filepath"]).resolve())
        lines.append(json.dumps(fields) + "\n")
    target.write_text("".join(lines))


def _write_settings(directory: Path) -> None:
    """The TOML files that pages tell the reader to save."""
    for page, name in (("tutorial/your-own-model", "my"), ("how-to/fine-tuning", "speaker")):
        (text, *_) = blocks(f"docs/{page}.md", "toml")
        assert re.search(r"^\[data\]", text, re.MULTILINE)
        (directory / f"{name}.toml").write_text(text)
