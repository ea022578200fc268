"""Reads copies of public corpora: checks them for faults that stop lhotse, then runs lhotse.

Each reader gives its splits one by one. It raises InputError for a copy that lhotse's preparer
cannot read.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ds2.corpora.public.found import Asked, Found
from ds2.corpora.public.lhotse_recipes import prepare
from ds2.errors import InputError
from ds2.manifest.utterance import numbered_lines


def read_librispeech(asked: Asked) -> Iterator[tuple[str, Found]]:
    """LibriSpeech: reads each split from its chapters, which hold recordings and their texts."""
    for split in asked.splits:
        asked.report(f"reading {split.name}", None)
        directory = asked.root / split.place
        for path in directory.rglob("*.trans.txt"):
            _check_lines(path, " ", 2, "NAME TEXT")
        chapters = {path.parent for path in directory.rglob("*.flac")}
        lacking = [c for c in sorted(chapters) if not any(c.glob("*.trans.txt"))]
        if lacking:
            raise InputError(
                f"{lacking[0]}: has recordings but no .trans.txt ({len(lacking)} such "
                "directories): the copy is incomplete: download it again"
            )
        options = {"num_jobs": asked.num_threads, **asked.options, "dataset_parts": split.place}
        found = prepare("librispeech", asked.root, options)
        yield split.name, found.get(split.place, Found([]))


def read_aishell(asked: Asked) -> Iterator[tuple[str, Found]]:
    """AISHELL-1: reads all splits at once."""
    yield from _read_with_lhotse("aishell", asked)


def read_thchs_30(asked: Asked) -> Iterator[tuple[str, Found]]:
    """THCHS-30: reads all splits at once."""
    yield from _read_with_lhotse("thchs_30", asked)


def read_tedlium(asked: Asked) -> Iterator[tuple[str, Found]]:
    """TED-LIUM 3: reads the segments of each split's talks."""
    for split in asked.splits:
        asked.report(f"reading {split.name}", None)
        directory = asked.root / split.place
        talks = {path.stem for path in directory.glob("stm/*.stm")}
        heard = {path.stem for path in directory.glob("sph/*.sph")}
        for name, here, there in (("sph", talks - heard, "stm"), ("stm", heard - talks, "sph")):
            if here:
                raise InputError(
                    f"{split.name}: {len(here):,} talks have no .{name} file (first: "
                    f"{directory / name / min(here)}.{name}): download them, or move "
                    f"their .{there} files away and use --allow-incomplete"
                )
        # Plain texts split words as in "it 's", and mark noise. Kaldi's style does neither.
        options = {"normalize_text": "kaldi", **asked.options, "dataset_parts": split.name}
        found = prepare("tedlium", asked.root, options)
        yield split.name, found.get(split.name, Found([]))


def read_ljspeech(asked: Asked) -> Iterator[tuple[str, Found]]:
    """LJSpeech: reads its only split."""
    _check_lines(asked.root / "metadata.csv", "|", 3, "NAME|TEXT|TEXT")
    yield from _read_with_lhotse("ljspeech", asked)


def read_vctk(asked: Asked) -> Iterator[tuple[str, Found]]:
    """VCTK: reads version 0.92 (flac, the second of two microphones) or 0.80 (wav)."""
    is_092 = (asked.root / "wav48_silence_trimmed").is_dir()
    microphone = str(asked.options.get("mic_id", "mic2"))
    pattern = f"wav48_silence_trimmed/*/*_{microphone}.flac" if is_092 else "wav48/*/*.wav"
    there = {path.stem.removesuffix(f"_{microphone}") for path in asked.root.glob(pattern)}
    excepted = ("p362_", "p280_") if is_092 and microphone == "mic2" else ("p362_",)  # by lhotse
    texts = {path.stem for path in asked.root.glob("txt/*/*.txt")}
    silent = sorted(name for name in texts - there if not name.startswith(excepted))
    if silent:
        raise InputError(
            f"{asked.root}: {len(silent):,} texts have no recording (first: {silent[0]}): "
            "download them, or move their texts away and use --allow-incomplete"
        )
    options = {"use_edinburgh_vctk_url": is_092, **asked.options}
    yield from _read_with_lhotse("vctk", replace(asked, options=options))


def read_musan(asked: Asked) -> Iterator[tuple[str, Found]]:
    """MUSAN: reads recordings without texts."""
    for split in asked.splits:
        asked.report(f"reading {split.name}", None)
        found = prepare("musan", asked.root, {**asked.options, "parts": split.name})
        yield split.name, found.get(split.name, Found([]))


def _read_with_lhotse(name: str, asked: Asked) -> Iterator[tuple[str, Found]]:
    asked.report(f"reading {name}", None)
    found = prepare(name, asked.root, asked.options)
    for split in asked.splits:
        yield split.name, found.get(split.name, Found([]))


def _check_lines(path: Path, separator: str, num_fields: int, form: str) -> None:
    """Raise InputError for a list with a line that lhotse cannot read."""
    for number, line in numbered_lines(path):
        if len(line.strip().split(separator, num_fields)) < num_fields:
            raise InputError(f"{path}:{number}: is not of the form {form}: the file is damaged")
