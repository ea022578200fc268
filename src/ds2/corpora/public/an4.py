"""Reads AN4, the alphanumeric corpus of CMU: SPHERE files and two lists. lhotse lacks it."""

import re
from collections.abc import Iterator
from pathlib import Path

from ds2.audio import probe_audio
from ds2.corpora.public.found import Asked, Found
from ds2.errors import InputError
from ds2.manifest.utterance import Utterance, numbered_lines


def read_an4(asked: Asked) -> Iterator[tuple[str, Found]]:
    """The utterances of etc/an4_train and etc/an4_test. Raises InputError."""
    for split in asked.splits:
        place = asked.root / split.place
        names = [line.strip() for _, line in numbered_lines(place)]
        texts = dict(_texts(place.with_suffix(".transcription")))
        utterances, missing = [], []
        for name in names:
            path, key = asked.root / "wav" / f"{name}.sph", Path(name).name
            if key not in texts:
                raise InputError(
                    f"{place.with_suffix('.transcription')}: has no line for {key}, which "
                    f"{place.name} lists: the copy is incomplete"
                )
            if path.is_file():
                utterances.append(_utterance(path, texts[key]))
            else:
                missing.append(str(path.relative_to(asked.root)))
        yield split.name, Found(utterances, missing)


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Names and texts from lines such as "<s> ENTER SIX </s> (an251-fash-b)"."""
    for number, line in numbered_lines(path):
        match = re.fullmatch(r"(?:<s>)?(.*?)(?:</s>)?\s*\(([^()]+)\)\s*", line)
        if match is None:
            raise InputError(f"{path}:{number}: is not of the form: <s> WORDS </s> (NAME)")
        yield match[2], match[1].strip()


def _utterance(path: Path, text: str) -> Utterance:
    return Utterance(
        audio_path=path,
        duration_s=probe_audio(path).duration_s,
        text=text,
        speaker=path.parent.name,
        language="en",
        extra={"id": path.stem, "source": "an4"},
    )
