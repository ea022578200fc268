"""Tiny copies of public corpora, each in the layout of its makers."""

import io
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from aids.tones import RECIPE

RATE_HZ = 16_000
TEXTS = ("A BAD CAB", "ACE DECADE", "DECA ABED", "DAB A CAB")
MANDARIN = ("广州 市 房地产", "绿 是 阳春", "他 仅 凭 腰部", "一年 四季")


def sing(seed: int, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Tones of a second or more; they differ for each seed."""
    rng = np.random.default_rng(seed)
    waveform: np.ndarray = RECIPE["sing"]("abed decade", rng)
    return waveform if rate_hz == RATE_HZ else waveform.repeat(rate_hz // RATE_HZ)


def write(path: Path, seed: int, *, form: str = "WAV", rate_hz: int = RATE_HZ) -> Path:
    """A recording in a format that soundfile writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subtype = None if form == "MP3" else "PCM_16"
    soundfile.write(path, sing(seed, rate_hz), rate_hz, format=form, subtype=subtype)
    return path


def write_text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def librispeech(directory: Path, splits: Sequence[str] = ("train-clean-100", "dev-clean")) -> Path:
    """LibriSpeech/SPLIT/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac, one .trans.txt per chapter."""
    root = directory / "LibriSpeech"
    write_text(root / "SPEAKERS.TXT", "; ID |SEX| SUBSET |MINUTES| NAME")
    for index, split in enumerate(splits):
        for speaker in (19 + index, 26 + index):
            chapter = root / split / str(speaker) / "198"
            name = f"{speaker}-198"
            for number in range(2):
                path = chapter / f"{name}-{number:04d}.flac"
                write(path, seed=100 * index + 2 * speaker + number, form="FLAC")
            lines = [f"{name}-{number:04d} {TEXTS[number]}" for number in range(2)]
            write_text(chapter / f"{name}.trans.txt", *lines)
    return root


def aishell(directory: Path) -> Path:
    """data_aishell/wav/SPLIT/SPEAKER/BAC009SPEAKERWNUMBER.wav and one transcript."""
    root = directory / "data_aishell"
    lines = []
    for split, speaker in (("train", "S0002"), ("dev", "S0724"), ("test", "S0764")):
        for number in range(2):
            name = f"BAC009{speaker}W{122 + number:04d}"
            write(root / "wav" / split / speaker / f"{name}.wav", seed=len(lines))
            lines.append(f"{name} {MANDARIN[number]}")
    write_text(root / "transcript" / "aishell_transcript_v0.8.txt", *lines)
    return root


def thchs_30(directory: Path) -> Path:
    """data_thchs30/data has everything; train, dev and test have links into it."""
    root = directory / "data_thchs30"
    for index, (split, speaker) in enumerate((("train", "A2"), ("dev", "A34"), ("test", "D4"))):
        for number in range(2):
            name = f"{speaker}_{number}"
            write(root / "data" / f"{name}.wav", seed=2 * index + number)
            text = MANDARIN[2 + number]
            write_text(root / "data" / f"{name}.wav.trn", text, "ta1 jin3", "t a1 j in3")
            for suffix in (".wav", ".wav.trn"):
                link = root / split / f"{name}{suffix}"
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(Path("..") / "data" / link.name)
    return root


def common_voice(directory: Path, language: str = "en", *, tells_durations: bool = False) -> Path:
    """cv-corpus-*/LANGUAGE: clips in MP3 and lists of tab-separated columns."""
    root = directory / "cv-corpus-17.0-2024-03-15" / language
    columns = ["client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes"]
    columns += ["down_votes", "age", "gender", "accents", "variant", "locale", "segment"]
    lists: dict[str, list[str]] = {}
    for index, split in enumerate(("train", "dev", "test", "other")):
        for number in range(2):
            name = f"common_voice_{language}_{100 * index + number}.mp3"
            write(root / "clips" / name, seed=50 * index + number, form="MP3", rate_hz=32_000)
            row = [f"{index}f00", name, "ab12", f'"{TEXTS[number].title()}."', "", "2", "0"]
            row += ["twenties", "female_feminine", "England English", "", language, ""]
            lists.setdefault(split, []).append("\t".join(row))
    lists["validated"] = [line for split in ("train", "dev", "test") for line in lists[split]]
    for split, lines in lists.items():
        write_text(root / f"{split}.tsv", "\t".join(columns), *lines)
    if tells_durations:
        names = sorted(path.name for path in (root / "clips").iterdir())
        lines = [f"{name}\t1300" for name in names]
        write_text(root / "clip_durations.tsv", "clip\tduration[ms]", *lines)
    return root


def tedlium(directory: Path) -> Path:
    """TEDLIUM_release-3/legacy/SPLIT: talks as SPHERE files and their segments as STM."""
    root = directory / "TEDLIUM_release-3"
    for index, split in enumerate(("train", "dev", "test")):
        talk = f"Speaker{index}_2010"
        write(root / "legacy" / split / "sph" / f"{talk}.sph", seed=index, form="NIST")
        head = f"{talk} 1 {talk}"
        write_text(
            root / "legacy" / split / "stm" / f"{talk}.stm",
            f"{head} 0.00 0.15 <o,f0,female> ignore_time_segment_in_scoring",
            f"{head} 0.15 0.70 <o,f0,male> it 's bad",
            f"{head} 0.75 1.25 <o,f0,male> a cab",
        )
    return root


def an4(directory: Path) -> Path:
    """an4/wav/an4_clstk and an4test_clstk: SPHERE files by speaker; an4/etc: lists."""
    root = directory / "an4"
    for index, (split, place, speaker) in enumerate(
        (("train", "an4_clstk", "fash"), ("test", "an4test_clstk", "fcaw"))
    ):
        names = [f"an{251 + 10 * index + number}-{speaker}-b" for number in range(2)]
        for number, name in enumerate(names):
            path = root / "wav" / place / speaker / f"{name}.sph"
            write(path, seed=2 * index + number, form="NIST")
        lines = [f"{place}/{speaker}/{name}" for name in names]
        write_text(root / "etc" / f"an4_{split}.fileids", *lines)
        lines = [f"<s> {TEXTS[n]} </s> ({name})" for n, name in enumerate(names)]
        write_text(root / "etc" / f"an4_{split}.transcription", *lines)
    return root


def ljspeech(directory: Path) -> Path:
    """LJSpeech-1.1: wavs and metadata.csv with the text as written and as spoken."""
    root = directory / "LJSpeech-1.1"
    names = [f"LJ001-{number:04d}" for number in range(1, 4)]
    for number, name in enumerate(names):
        write(root / "wavs" / f"{name}.wav", seed=number)
    lines = [f"{name}|{TEXTS[n].title()}.|{TEXTS[n].lower()}." for n, name in enumerate(names)]
    write_text(root / "metadata.csv", *lines)
    return root


def vctk(directory: Path) -> Path:
    """Version 0.92: two microphones as FLAC at 48 kHz, texts, speaker-info.txt."""
    root = directory / "VCTK-Corpus-0.92"
    speakers = ("p225", "p226")
    write_text(
        root / "speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS",
        *(f"{speaker}  23  F    English    Southern  England" for speaker in speakers),
    )
    for index, speaker in enumerate(speakers):
        for number in (1, 2):
            name = f"{speaker}_{number:03d}"
            write_text(root / "txt" / speaker / f"{name}.txt", TEXTS[number].title() + ".")
            for microphone in ("mic1", "mic2"):
                path = root / "wav48_silence_trimmed" / speaker / f"{name}_{microphone}.flac"
                write(path, seed=10 * index + number, form="FLAC", rate_hz=48_000)
    return root


def packed(directory: Path, archive: Path) -> bytes:
    """Replace the directory by an archive of it; return the archive's bytes."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(directory, directory.name)
    shutil.rmtree(directory)
    return archive.read_bytes()


def packed_aishell(directory: Path, archive: Path) -> bytes:
    """AISHELL-1 as published: each speaker's recordings are an archive inside the archive."""
    root = aishell(directory)
    for speaker in sorted(root.glob("wav/*/*")):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.add(speaker, f"{speaker.parent.name}/{speaker.name}")
        (root / "wav" / f"{speaker.name}.tar.gz").write_bytes(buffer.getvalue())
    for split in ("train", "dev", "test"):
        shutil.rmtree(root / "wav" / split)
    return packed(root, archive)
