"""Write shards: tar files with a manifest's utterances, cut out and shuffled."""

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import numpy as np

from ds2.audio import probe_audio, read_audio
from ds2.audio.writing import encode_flac, encode_opus
from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.manifest import Utterance, fields_of
from ds2.shards.reading import FORMAT, INDEX, VERSION, list_line, list_url, read_index

Form: TypeAlias = Literal["flac", "opus", "keep"]
Track: TypeAlias = Callable[[Iterable[dict[str, Any]], int], Iterable[dict[str, Any]]]
"""Passes finished items on, and shows the progress; the number is the total."""

NUM_MEASURED = 16  # utterances that are encoded first, to estimate the size of a shard
WHOLE_S = 0.05  # a time this near to the recording's end counts as its end
LONGEST_NAME = 60  # characters of the recording's name in a member's name: tar has room for 100
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class ShardSettings:
    """The settings that determine the shards, together with the manifest."""

    name: str = "train"  # the beginning of file names: train-00000.tar
    shard_mb: float = 256.0  # approximate size; a MB is a million bytes
    form: Form = "flac"
    seed: int = 0  # of the random order, which divides the utterances among the shards
    skip_bad: bool = False  # leave out unreadable utterances, instead of stopping


@dataclass(frozen=True)
class ShardTask:
    """A shard to write: its utterances, and their numbers in the manifest."""

    path: Path
    utterances: list[Utterance]
    numbers: list[int]
    settings: ShardSettings


def write_shards(
    utterances: Sequence[Utterance],
    directory: Path,
    settings: ShardSettings,
    num_jobs: int = 1,
    track: Track = lambda done, _total: done,
) -> dict[str, Any]:
    """Write shards, the lists beside them and the index; return the index.

    It verifies and keeps existing shards of the same manifest and settings.
    Raises InputError, also if the directory has other shards.
    """
    utterances = [_with_duration(utterance, settings) for utterance in utterances]
    made_from = _fingerprint(utterances, settings)
    tasks = plan_shards(utterances, directory, settings)
    shards = _read_kept(directory, made_from, len(tasks), settings.skip_bad)
    todo = [task for index, task in enumerate(tasks) if shards[index] is None]
    index_of = {task.path.name: index for index, task in enumerate(tasks)}
    index = {"format": FORMAT, "version": VERSION, "made_from": made_from, "shards": shards}
    _write_index(directory, index)
    for shard in track(_write_all(todo, num_jobs), len(todo)):
        shards[index_of[shard["name"]]] = shard
        _write_index(directory, index)
    return index


def plan_shards(
    utterances: Sequence[Utterance], directory: Path, settings: ShardSettings
) -> list[ShardTask]:
    """Divide the utterances among shards: in random order, and inside a shard by duration.

    Every shard is then a random sample of the whole, and its short utterances are in one piece.
    """
    order = np.random.default_rng(settings.seed).permutation(len(utterances))
    durations_s = np.array([utterance.duration_s or 0.0 for utterance in utterances])
    sample = [utterances[index] for index in order[:NUM_MEASURED].tolist()]
    shard_s = settings.shard_mb * 1e6 / _bytes_per_s(sample, settings)
    total_s = float(durations_s.sum())
    num_shards = max(1, min(len(utterances), round(total_s / shard_s)))
    middles_s = np.cumsum(durations_s[order]) - durations_s[order] / 2
    which = np.minimum((middles_s / total_s * num_shards).astype(int), num_shards - 1)
    tasks = []
    for number, shard in enumerate(np.unique(which).tolist()):
        inside = order[which == shard]
        numbers = inside[np.argsort(durations_s[inside], kind="stable")].tolist()
        path = directory / f"{settings.name}-{number:05d}.tar"
        tasks.append(ShardTask(path, [utterances[i] for i in numbers], numbers, settings))
    return tasks


def write_shard(task: ShardTask) -> dict[str, Any]:
    """Write one shard and its list; return its facts for the index. Raises InputError."""
    seconds, lines, bad = 0.0, [], []
    with atomic_write(task.path, "wb") as file:
        hashing = _Hashing(file)
        with tarfile.open(fileobj=hashing, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
            for utterance, number in zip(task.utterances, task.numbers, strict=True):
                try:
                    data, extension, duration_s = recording_of(utterance, task.settings.form)
                except InputError as error:
                    if not task.settings.skip_bad:
                        raise InputError(
                            f"{utterance.where}: {error} (--skip-bad leaves such utterances out)"
                        ) from None
                    bad.append(f"{utterance.where}: {error}")
                    continue
                key = f"{number:08d}-{_plain(utterance.id)}"
                fields = _fields(utterance, key + extension, duration_s)
                lines.append(list_line(fields, key + extension, tar.offset))
                text = json.dumps(fields, ensure_ascii=False).encode()
                for name, contents in ((f"{key}.json", text), (key + extension, data)):
                    header = tarfile.TarInfo(name)  # its owner and time stay 0
                    header.size = len(contents)
                    tar.addfile(header, BytesIO(contents))
                seconds += duration_s
    with atomic_write(list_url(str(task.path))) as list_file:
        list_file.writelines(line + "\n" for line in lines)
    return {
        "name": task.path.name,
        "num_utterances": len(lines),
        "hours": round(seconds / 3600, 6),
        "bytes": hashing.num_bytes,
        "sha256": hashing.sha256.hexdigest(),
        "list_sha256": _sha256(Path(list_url(str(task.path)))),
        "left_out": bad,
    }


def recording_of(utterance: Utterance, form: Form) -> tuple[bytes, str, float]:
    """The utterance's audio as a file, its extension and its seconds. Raises InputError."""
    if form == "keep":
        path = utterance.audio_path
        whole_s = probe_audio(path).duration_s
        given_s = utterance.duration_s or 0.0
        if utterance.offset_s or (whole_s is not None and given_s < whole_s - WHOLE_S):
            raise InputError(
                "is a part of its recording, and --format keep copies whole files: "
                "use --format flac"
            )
        return path.read_bytes(), path.suffix.lower(), given_s
    waveform = read_audio(
        utterance.audio_path, offset_s=utterance.offset_s, duration_s=utterance.duration_s
    )
    if not len(waveform):
        raise InputError("its part of the recording has no audio")
    encode = encode_flac if form == "flac" else encode_opus
    return encode(waveform), f".{form}", len(waveform) / 16_000


class _Hashing:
    """A file that counts and hashes the bytes written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.num_bytes = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.num_bytes += len(data)
        return self._file.write(data)


def _write_all(tasks: Sequence[ShardTask], num_jobs: int) -> Iterator[dict[str, Any]]:
    """The facts of each shard as soon as it is written, in any order."""
    if num_jobs == 1 or len(tasks) < 2:
        yield from map(write_shard, tasks)
        return
    pool = ProcessPoolExecutor(min(num_jobs, len(tasks)), mp_context=get_context("spawn"))
    try:
        futures: list[Future[dict[str, Any]]] = [pool.submit(write_shard, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _with_duration(utterance: Utterance, settings: ShardSettings) -> Utterance:
    """The utterance with a known duration. Raises InputError if there is no recording."""
    try:
        if not utterance.audio_path.is_file():
            raise InputError(f"there is no recording {utterance.audio_path}")
        if utterance.duration_s is not None:
            return utterance
        whole_s = probe_audio(utterance.audio_path).duration_s
        if whole_s is None:
            raise InputError("the recording's header has no duration: give it in the manifest")
        if whole_s <= utterance.offset_s:
            raise InputError(f"offset {utterance.offset_s:g}: the recording has {whole_s:.2f} s")
        return replace(utterance, duration_s=whole_s - utterance.offset_s)
    except InputError as error:
        if settings.skip_bad:  # `write_shard` leaves it out and reports it
            return replace(utterance, duration_s=utterance.duration_s or 1.0)
        raise InputError(
            f"{utterance.where}: {error} (--skip-bad leaves such utterances out)"
        ) from None


def _bytes_per_s(sample: Sequence[Utterance], settings: ShardSettings) -> float:
    """The approximate bytes of a second of audio in a shard, with headers."""
    num_bytes, seconds = 0.0, 0.0
    for utterance in sample:
        try:
            data, _, duration_s = recording_of(utterance, settings.form)
        except InputError:
            continue  # `write_shard` reports it
        num_bytes += len(data) + 2048
        seconds += duration_s
    return num_bytes / seconds if seconds else 32_000.0


def _fields(utterance: Utterance, member: str, duration_s: float) -> dict[str, Any]:
    """The fields of KEY.json: the manifest's, for the recording beside it."""
    fields = fields_of(utterance, utterance.audio_path.parent)
    fields.pop("offset", None)
    return {**fields, "audio_filepath": member, "duration": round(duration_s, 4)}


def _read_kept(
    directory: Path, made_from: str, num_shards: int, skip_bad: bool
) -> list[dict[str, Any] | None]:
    """The facts of each shard that an earlier run wrote completely."""
    path = directory / INDEX
    if not path.is_file():
        return [None] * num_shards
    index = read_index(str(path))
    if not any(index["shards"]):
        return [None] * num_shards
    if index.get("made_from") != made_from or len(index["shards"]) != num_shards:
        raise InputError(
            f"-o {directory}: has shards of another manifest or of other settings: "
            "name another directory, or delete them"
        )
    return [
        shard if shard and _is_sound(directory, shard, skip_bad) else None
        for shard in index["shards"]
    ]


def _is_sound(directory: Path, shard: dict[str, Any], skip_bad: bool) -> bool:
    if shard["left_out"] and not skip_bad:
        return False
    path = directory / shard["name"]
    listing = Path(list_url(str(path)))
    if not (path.is_file() and listing.is_file() and path.stat().st_size == shard["bytes"]):
        return False
    return [_sha256(path), _sha256(listing)] == [shard["sha256"], shard["list_sha256"]]


def _write_index(directory: Path, index: dict[str, Any]) -> None:
    with atomic_write(directory / INDEX) as file:
        json.dump(index, file, ensure_ascii=False, indent=1)
        file.write("\n")


def _fingerprint(utterances: Sequence[Utterance], settings: ShardSettings) -> str:
    """A hash of the manifest and the settings, which names the shards' source."""
    facts = {key: value for key, value in vars(settings).items() if key != "skip_bad"}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for utterance in utterances:
        fields = fields_of(utterance, Path("/"))
        digest.update(json.dumps(fields, ensure_ascii=False, sort_keys=True).encode())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(partial(file.read, BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def _plain(name: str) -> str:
    """The name without characters that have a meaning in a member's name, such as the dot."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:LONGEST_NAME]
