"""Read shards: tar files of recordings in WebDataset's layout, each with a list of its content."""

import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ds2.audio import EXTENSIONS, probe_audio
from ds2.errors import InputError
from ds2.manifest.reading import KNOWN_KEYS
from ds2.manifest.utterance import (
    Utterance,
    json_object,
    length_of,
    name_of,
    required_string,
    string_of,
)
from ds2.shards.storage import SequentialReader, exists, is_remote, read_whole

INDEX = "index.json"
FORMAT, VERSION = "ds2-shards", 1
MEMBER, POSITION = "shard_member", "shard_position"
"""The fields of a list's line that give the place of its utterance in the shard."""
NUM_LISTS_AT_ONCE = 16  # fetched in parallel, because each takes a round trip
STREAM_BYTES = 1 << 18
MOST_SHARDS = 1_000_000
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class Place(NamedTuple):
    """The place of an utterance: the shard's index, the member, and the byte to read from."""

    shard_index: int
    member: str
    position: int


@dataclass
class Shards:
    """Shards and the utterances in them, in order.

    places: the place of each utterance.
    """

    urls: list[str]
    utterances: list[Utterance] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)


def is_shards(source: str) -> bool:
    """Whether a path or address means shards: a .tar, an index.json or its directory."""
    if source.endswith((".tar", "/" + INDEX)) or source == INDEX:
        return True
    return not is_remote(source) and (Path(source) / INDEX).is_file()


def read_shards(sources: Iterable[str], problems: list[str] | None = None) -> Shards:
    """The content of shards, from the lists beside them, or from the shards themselves.

    sources: "train-{00000..00099}.tar", an index.json that `ds2 corpus shard` wrote, or its
        directory; paths or addresses.
    problems: receives the errors of single utterances or shards; without it, the first error
        raises InputError.
    """
    shards = Shards(list(dict.fromkeys(url for source in sources for url in _urls(source))))
    with ThreadPoolExecutor(NUM_LISTS_AT_ONCE) as pool:
        lists = pool.map(_read_list, shards.urls)
        for index, (url, found) in enumerate(zip(shards.urls, lists, strict=True)):
            audio_path, path = Path(url), Path(list_url(url))
            for line, fields in enumerate(found, 1):
                try:
                    if isinstance(fields, InputError):
                        raise fields
                    shards.utterances.append(_utterance(audio_path, path, line, fields))
                    where = shards.utterances[-1].where
                    shards.places.append(_place(index, fields, where))
                except InputError as error:
                    if problems is None:
                        raise
                    problems.append(str(error))
                    del shards.utterances[len(shards.places) :]
    return shards


def list_url(url: str) -> str:
    """The path or address of the list beside a shard."""
    return url.removesuffix(".tar") + ".jsonl"


def members(url: str, position: int = 0) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Name, position and a reader of each member of a tar from a position on, in one pass.

    Raises InputError that names the shard and the last good member before the damage.
    """
    last = "its beginning"
    with SequentialReader(url, position) as reader:
        try:
            with tarfile.open(fileobj=reader, mode="r|", bufsize=STREAM_BYTES) as tar:  # type: ignore[call-overload]
                for member in tar:
                    tar.members.clear()  # otherwise it would keep all members in memory
                    if member.isfile():
                        yield member.name, position + member.offset, _reading(url, tar, member)
                    last = member.name
        except (tarfile.TarError, EOFError) as error:
            raise InputError(f"{url}: damaged after {last}: {error}") from None


def _reading(url: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        # In one piece, because `extractfile` would copy it in pieces of 10 kB.
        stream: Any = tar.fileobj
        stream.seek(member.offset_data)
        data: bytes = stream.read(member.size)
        if len(data) < member.size:
            raise InputError(f"{url}: cut off in {member.name}")
        return data

    return read


def read_members(
    url: str, wanted: Sequence[tuple[int, Place]]
) -> Iterator[tuple[int, bytes | InputError]]:
    """The recordings at these places of one shard, in order, each with the number in `wanted`.

    It reads the shard from the first place to the last. A recording that is damaged or missing
    comes as an InputError that names the shard and the member.
    """
    missing = {place.member: number for number, place in wanted}
    reason = "it is missing: the shard is damaged, or its list belongs to another shard"
    try:
        for name, _, read in members(url, wanted[0][1].position):
            if name in missing:
                data = read()
                yield missing.pop(name), data
                if not missing:
                    return
    except InputError as error:
        reason = str(error).removeprefix(f"{url}: ")
    for name, number in missing.items():
        yield number, InputError(f"{url}: {name}: {reason}")


def _urls(source: str) -> list[str]:
    if not source.endswith(".tar"):
        return _urls_in_index(source)
    urls = [source]
    while match := RANGE.search(urls[0]):
        first, last = (int(number) for number in match.groups())
        if not 0 <= last - first < MOST_SHARDS:
            raise InputError(f"{source}: {match[0]} is not a range such as {{00000..00099}}")
        width = len(match[1])
        numbers = [f"{number:0{width}d}" for number in range(first, last + 1)]
        urls = [RANGE.sub(number, url, count=1) for url in urls for number in numbers]
    return urls


def _urls_in_index(source: str) -> list[str]:
    url = source if source.endswith(INDEX) else f"{source.rstrip('/')}/{INDEX}"
    index = read_index(url)
    if not all(index["shards"]):
        raise InputError(f"{url}: some shards are missing: run `ds2 corpus shard` again")
    return [url.removesuffix(INDEX) + shard["name"] for shard in index["shards"]]


def read_index(url: str) -> dict[str, Any]:
    """Read the index of shards that `ds2 corpus shard` wrote. Raises InputError."""
    try:
        index = json_object(read_whole(url).decode(), url)
    except UnicodeDecodeError:
        raise InputError(f"{url}: is not an index of shards") from None
    if index.get("format") != FORMAT or not isinstance(index.get("shards"), list):
        raise InputError(f"{url}: is not an index of shards as `ds2 corpus shard` writes it")
    if index.get("version") != VERSION:
        raise InputError(
            f"{url}: has version {index.get('version')}, but this ds2 reads version {VERSION}"
        )
    return index


def _read_list(url: str) -> list[dict[str, Any] | InputError]:
    """The fields of each utterance in a shard, or its error."""
    found: list[dict[str, Any] | InputError] = []
    name = list_url(url)
    try:
        if not exists(name):
            return _look_through(url)
        lines = read_whole(name).decode().splitlines()
    except InputError as error:
        return [error]
    except UnicodeDecodeError:
        return [InputError(f"{name}: is not UTF-8 text")]
    for number, line in enumerate(lines, 1):
        try:
            found.append(json_object(line, f"{name}:{number}"))
        except InputError as error:
            found.append(error)
    return found


def _look_through(url: str) -> list[dict[str, Any] | InputError]:
    """The same from the shard itself: any tar of KEY.wav with KEY.json or KEY.txt."""
    samples: dict[str, dict[str, Any]] = {}
    problems: list[dict[str, Any] | InputError] = []
    try:
        for name, position, read in members(url):
            key, _, extension = name.rpartition("/")[2].partition(".")
            fields = samples.setdefault(key, {POSITION: position})
            try:
                _look_at(fields, name, extension.lower(), read())
            except InputError as error:
                problems.append(InputError(f"{url}: {name}: {error}"))
    except InputError as error:
        problems.append(error)
    whole = [fields for fields in samples.values() if MEMBER in fields]
    return [*whole, *problems] or [InputError(f"{url}: has no recordings")]


def _look_at(fields: dict[str, Any], name: str, extension: str, data: bytes) -> None:
    if extension == "json":
        known = json_object(data.decode(errors="replace"), "its JSON")
        fields.update({key: known[key] for key in KNOWN_KEYS if key in known})
    elif extension == "txt":
        fields.setdefault("text", data.decode(errors="replace").strip())
    elif f".{extension}" in EXTENSIONS:
        fields[MEMBER] = name
        fields["duration"] = probe_audio(data).duration_s or fields.get("duration")


def _utterance(audio_path: Path, path: Path, line: int, fields: dict[str, Any]) -> Utterance:
    """An utterance. audio_path: the shard; path: its list; many utterances share both objects."""
    where = f"{path}:{line}"
    required_string(fields, MEMBER, where)
    duration_s = length_of(fields, "duration", where)
    if duration_s is None:
        raise InputError(f"{where}: duration is missing")
    return Utterance(
        audio_path=audio_path,
        duration_s=duration_s,
        text=string_of(fields, "text", where),
        speaker=name_of(fields, "speaker", where),
        language=string_of(fields, "language", where),
        source_file=path,
        line=line,
    )


def _place(shard_index: int, fields: dict[str, Any], where: str) -> Place:
    position = fields.get(POSITION)
    if not isinstance(position, int) or position < 0:
        raise InputError(f"{where}: {POSITION} must be the number of a byte in the shard")
    return Place(shard_index, fields[MEMBER], position)


def list_line(fields: dict[str, Any], member: str, position: int) -> str:
    """The line of an utterance in the list beside its shard, with the fields for training."""
    known = {key: fields[key] for key in KNOWN_KEYS if key in fields}
    return json.dumps({**known, MEMBER: member, POSITION: position}, ensure_ascii=False)
