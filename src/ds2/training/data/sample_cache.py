"""A cache of decoded recordings: a file of 16-bit samples that runs map into memory and share.

A directory holds one file of samples and its index. The file only grows. A run writes samples
first, then the entries of the index that say where they are. So the index names only complete
samples, even if a run is killed at any moment. The next run overwrites everything behind the last
entry. One run at a time writes. Other runs wait, and then find the work done. The key of an entry
is file, size, time of change and part.

The cache holds the recording's samples, rounded to 16 bits. Nothing changes for 16-bit recordings
at 16 kHz. Other recordings differ by at most 2^-16 of full scale.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from torch.utils.data import DataLoader, Dataset

from ds2.audio import read_audio
from ds2.audio.resampling import SAMPLE_RATE_HZ
from ds2.errors import InputError
from ds2.files import atomic_write
from ds2.manifest import Utterance
from ds2.model.features import Floats

INDEX = "index"
LOCK = "lock"
MAGIC = b"ds2 samples 1\n"  # then the name of the file of samples, to HEADER bytes in all
HEADER = 64
ENTRY = np.dtype([("key", "V16"), ("start", "<i8"), ("length", "<i8")])
FULL_SCALE = 32768
KEPT_FREE_BYTES = 10**9  # space on the disk that the cache does not take
INDEXED_EVERY_S = 5.0
Samples = np.ndarray[Any, np.dtype[np.int16]]

Tell = Callable[[str], object]
Count = Callable[[int, int], object]
"""Takes the number of recordings that are done, and the number of all."""


@dataclass(frozen=True)
class CacheSettings:
    """Place and size of the cache.

    num_workers: processes that decode; 0: this process decodes.
    """

    directory: Path
    limit_gb: float
    num_workers: int


class CachedSamples:
    """The decoded samples of some utterances, by their index. It can go to other processes."""

    def __init__(self, path: Path, places: dict[int, tuple[int, int]]) -> None:
        """places: for each utterance, the start of its samples and their number."""
        self._path = path
        self._places = places
        self._samples = self._mapped()

    def __len__(self) -> int:
        return len(self._places)

    def get(self, index: int) -> Samples | None:
        """(N,) int16; None if the cache lacks them."""
        if self._samples is None or index not in self._places:
            return None
        start, length = self._places[index]
        return self._samples[start : start + length]

    def waveform(self, index: int) -> Floats | None:
        """(N,) float32; None if the cache lacks it."""
        samples = self.get(index)
        return None if samples is None else samples * np.float32(1 / FULL_SCALE)

    def _mapped(self) -> Samples | None:
        try:
            return np.memmap(self._path, np.int16, mode="r")
        except (OSError, ValueError):  # another run emptied it, or it has no samples
            return None

    def __getstate__(self) -> tuple[Path, dict[int, tuple[int, int]]]:
        return self._path, self._places

    def __setstate__(self, state: tuple[Path, dict[int, tuple[int, int]]]) -> None:
        self._path, self._places = state
        self._samples = self._mapped()


def user_cache_directory() -> Path:
    """The directory where ds2 keeps this user's decoded recordings."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "ds2" / "training"


def cached_samples(
    utterances: Sequence[Utterance],
    durations_s: Sequence[float],
    settings: CacheSettings,
    tell: Tell,
    count: Count,
) -> CachedSamples | None:
    """The samples of these utterances, decoded now if they are not yet; None without a cache.

    The cache lacks utterances that do not fit or that ds2 cannot read. Each use must decode them.
    """
    try:
        settings.directory.mkdir(parents=True, exist_ok=True)
        with _locked(settings.directory, tell):
            return _Cache(settings).fill(utterances, durations_s, tell, count)
    except OSError as error:
        reason = error.strerror or str(error)
        tell(
            f"{settings.directory}: ds2 cannot keep decoded audio here ({reason}), so it decodes "
            "each recording at each use: name another place with data.cache_dir, or set "
            "data.cache_gb = 0"
        )
        return None


def _locked(directory: Path, tell: Tell) -> FileLock:
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        tell(f"{directory}: another run decodes audio here: waiting for it")
        lock.acquire()
    return lock


class _Cache:
    """The directory, for the one process that holds its lock."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._index = settings.directory / INDEX
        self._entries: dict[bytes, tuple[int, int]] = {}
        self._data = self._begun()
        self._end = max((start + length for start, length in self._entries.values()), default=0)

    def fill(
        self,
        utterances: Sequence[Utterance],
        durations_s: Sequence[float],
        tell: Tell,
        count: Count,
    ) -> CachedSamples | None:
        """Decode the utterances that are missing and fit. Returns the samples of all that exist."""
        keys = [key_of(utterance) for utterance in utterances]
        missing = self._what_fits(durations_s, keys)
        if missing:
            hours = sum(durations_s[index] for index in missing) / 3600
            tell(f"decoding {len(missing)} recordings, {hours:.2f} h, into {self._data}")
            self._add([(keys[index], utterances[index]) for index in missing], count)
        places = {i: self._entries[key] for i, key in enumerate(keys) if key in self._entries}
        if len(places) < len(utterances):
            tell(
                f"{len(utterances) - len(places)} of {len(utterances)} recordings are not in the "
                "cache: it is full, or ds2 cannot read them. ds2 decodes them at each use "
                "(data.cache_gb limits the size of the cache)"
            )
        return CachedSamples(self._data, places) if places else None

    def _begun(self) -> Path:
        """Read the index, or begin a new one. Returns the path of the samples."""
        try:
            content = self._index.read_bytes()
        except FileNotFoundError:
            content = b""
        head = content[:HEADER]
        if head.startswith(MAGIC) and len(head) == HEADER:
            path = self._settings.directory / head[len(MAGIC) :].rstrip(b"\0").decode()
            whole = content[
                HEADER : HEADER + (len(content) - HEADER) // ENTRY.itemsize * ENTRY.itemsize
            ]
            entries = np.frombuffer(whole, ENTRY)
            size = path.stat().st_size // 2 if path.exists() else 0
            for key, start, length in entries.tolist():
                if start + length <= size:
                    self._entries[key] = (start, length)
            if path.exists():
                return path
        return self._begin([])

    def _begin(self, kept: Sequence[tuple[bytes, Samples]]) -> Path:
        """Write a new file of samples and its index. They replace the old ones."""
        directory = self._settings.directory
        path = directory / f"samples-{time.time_ns():x}.i16"
        entries, start = np.zeros(len(kept), ENTRY), 0
        with path.open("wb") as file:
            for row, (key, samples) in enumerate(kept):
                file.write(samples.tobytes())
                entries[row] = (key, start, len(samples))
                start += len(samples)
            file.flush()
            os.fsync(file.fileno())
        with atomic_write(self._index, "wb") as index:
            index.write((MAGIC + path.name.encode()).ljust(HEADER, b"\0") + entries.tobytes())
        for old in directory.glob("samples-*.i16"):
            if old != path:
                old.unlink()  # processes that have it mapped keep it
        self._entries = {bytes(key): (s, n) for key, s, n in entries.tolist()}
        self._end = start
        return path

    def _what_fits(self, durations_s: Sequence[float], keys: Sequence[bytes]) -> list[int]:
        """The indices of utterances to decode. Drops samples of other runs if it needs the room."""
        missing = [index for index, key in enumerate(keys) if key not in self._entries]
        needed = {index: 2 * round(durations_s[index] * SAMPLE_RATE_HZ) for index in missing}
        limit = self._settings.limit_gb * 1e9
        if 2 * self._end + sum(needed.values()) > limit:
            own = {key: self._entries[key] for key in keys if key in self._entries}
            if 2 * sum(length for _, length in own.values()) < 2 * self._end:
                samples = CachedSamples(self._data, dict(enumerate(own.values())))
                found = [(key, samples.get(number)) for number, key in enumerate(own)]
                self._data = self._begin([(key, s) for key, s in found if s is not None])
        free = shutil.disk_usage(self._settings.directory).free - KEPT_FREE_BYTES
        left = min(limit - 2 * self._end, free)
        fitting = []
        for index in missing:
            left -= needed[index]
            if left >= 0:
                fitting.append(index)
        return fitting

    def _add(self, wanted: Sequence[tuple[bytes, Utterance]], count: Count) -> None:
        with self._data.open("r+b") as data, self._index.open("r+b") as index:
            data.seek(2 * self._end)
            rest = (index.seek(0, os.SEEK_END) - HEADER) % ENTRY.itemsize
            index.seek(-rest, os.SEEK_CUR)  # half an entry from a run that was killed
            new: list[tuple[bytes, int, int]] = []
            saved_at = time.monotonic()
            decoded = _decoded([utterance for _, utterance in wanted], self._settings.num_workers)
            for done, ((key, _), samples) in enumerate(zip(wanted, decoded, strict=True), 1):
                if samples is not None:
                    data.write(samples.tobytes())
                    new.append((key, self._end, len(samples)))
                    self._end += len(samples)
                if time.monotonic() - saved_at > INDEXED_EVERY_S or done == len(wanted):
                    self._index_new(data, index, new)
                    new, saved_at = [], time.monotonic()
                count(done, len(wanted))

    def _index_new(
        self, data: BinaryIO, index: BinaryIO, new: Sequence[tuple[bytes, int, int]]
    ) -> None:
        """Enter new samples into the index after they are safely on the disk."""
        data.flush()
        os.fsync(data.fileno())
        index.write(np.array(list(new), ENTRY).tobytes())
        index.flush()
        self._entries.update({key: (start, length) for key, start, length in new})


def key_of(utterance: Utterance) -> bytes:
    """The key of an utterance's samples: 16 bytes."""
    path = utterance.audio_path.resolve()
    try:
        stat = path.stat()
        version = (stat.st_size, stat.st_mtime_ns)
    except OSError:  # the attempt to read it will report this
        version = (0, 0)
    facts = (str(path), *version, utterance.offset_s, utterance.duration_s)
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).digest()


class _Decoding(Dataset[Samples | None]):
    """Utterances to 16-bit samples; None for one that cannot be read."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self._utterances = utterances

    def __len__(self) -> int:
        return len(self._utterances)

    def __getitem__(self, index: int) -> Samples | None:
        utterance = self._utterances[index]
        try:
            waveform = read_audio(
                utterance.audio_path,
                offset_s=utterance.offset_s,
                duration_s=utterance.duration_s,
            )
        except InputError:
            return None
        return to_16_bits(waveform)


def to_16_bits(waveform: Floats) -> Samples:
    """(N,) int16, rounded. Values beyond full scale are clipped."""
    scaled = np.rint(waveform * np.float32(FULL_SCALE))
    return np.asarray(scaled.clip(-FULL_SCALE, FULL_SCALE - 1), np.int16)


def _decoded(utterances: Sequence[Utterance], num_workers: int) -> Iterator[Samples | None]:
    yield from DataLoader(
        _Decoding(utterances),
        batch_size=None,
        num_workers=num_workers,
        collate_fn=_as_it_is,
        prefetch_factor=16 if num_workers else None,
    )


def _as_it_is(samples: Any) -> Any:
    return samples
