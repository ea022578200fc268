"""Shards: complete and reproducible, readable by others, with bit for bit equal training."""

import hashlib
import io
import json
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aids.runs import assert_same_runs, finish, kill_after, start, train_with_processes
from aids.tones import QUICKSTART, random_texts, tone_config, tone_settings, write_tones
from ds2.audio import read_audio, write_wav
from ds2.cli import main
from ds2.errors import InputError
from ds2.manifest import read_manifest
from ds2.model.features import log_spectrogram
from ds2.shards import storage
from ds2.shards.reading import is_shards, members, read_members, read_shards
from ds2.shards.writing import ShardSettings, write_shards
from ds2.training.config import RunConfig, load_config
from ds2.training.data.minibatches import Minibatches, minibatches
from ds2.training.data.shard_sampler import ShardOrder, ShardSampler
from ds2.training.run.checkpoint import LAST, read_checkpoint
from ds2.training.run.parts import load_data
from ds2.training.run.run import train

CPU = torch.device("cpu")


def written(directory: Path, *, num: int = 24, shard_mb: float = 0.1, **more: Any) -> Path:
    """Shards of artificial speech and their directory."""
    manifest = write_tones(directory, "train", random_texts(num))
    output = directory / "shards"
    write_shards(read_manifest(manifest), output, ShardSettings(shard_mb=shard_mb, **more))
    return output


def config_for(directory: Path, shards: Path | str, **settings: Any) -> RunConfig:
    dev = write_tones(directory, "dev", random_texts(3), 1)
    return tone_config(Path(shards), dev, **{"data__max_batch_size": 4, **settings})


def minibatches_of(directory: Path, config: RunConfig) -> Minibatches:
    return load_data(config, directory, None).batches


def loaded(batches: Minibatches, epoch: int, skip: int = 0, **who: int) -> list[Any]:
    return list(batches.load([epoch], skip, CPU, **who))


def recording(directory: Path, seconds: float = 3.0) -> Path:
    path = directory / "long.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000))
    write_wav(path, noise.astype(np.float32))
    return path


def lines_of(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_shard_holds_the_samples_the_text_and_every_field(tmp_path: Path) -> None:
    path = recording(tmp_path)
    line = {"audio_filepath": "long.wav", "offset": 1.0, "duration": 0.5, "text": "good day"}
    more = {"speaker": "ann", "language": "en", "source": {"page": 3}, "id": "a.b/c"}
    manifest = lines_of(tmp_path / "m.jsonl", {**line, **more})
    assert main(["corpus", "shard", str(manifest), "-o", str(tmp_path / "out")]) in (0, None)
    with tarfile.open(tmp_path / "out" / "m-00000.tar") as tar:
        names = tar.getnames()
        assert names == ["00000000-a_b_c.json", "00000000-a_b_c.flac"]
        fields = json.load(tar.extractfile(names[0]))  # type: ignore[arg-type]
        waveform = read_audio(tar.extractfile(names[1]).read())  # type: ignore[union-attr]
    assert fields == {"audio_filepath": names[1], "duration": 0.5, "text": "good day", **more}
    assert np.array_equal(waveform, read_audio(path, offset_s=1.0, duration_s=0.5))


WEBDATASET = """
import hashlib, json, sys, webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False):
    text = json.loads(sample["json"])["text"]
    print(sample["__key__"], hashlib.md5(sample["flac"]).hexdigest(), text, sep="|")
"""


@pytest.mark.slow
def test_webdataset_reads_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    output = written(tmp_path)
    urls = sorted(map(str, output.glob("*.tar")))
    assert len(urls) > 2
    # It runs in its own process, because it leaves files open.
    read = subprocess.run([sys.executable, "-c", WEBDATASET, *urls], stdout=-1, check=True)
    shards = read_shards([str(output)])
    lines = []
    for utterance, place in zip(shards.utterances, shards.places, strict=True):
        [(_, data)] = read_members(shards.urls[place.shard_index], [(0, place)])
        assert isinstance(data, bytes)
        key = place.member.removesuffix(".flac")
        lines.append(f"{key}|{hashlib.md5(data).hexdigest()}|{utterance.text}")
    assert read.stdout.decode().splitlines() == lines


@pytest.mark.slow
@pytest.mark.parametrize("form", ["flac", "opus", "keep"])
def test_the_same_manifest_gives_the_same_bytes_with_any_number_of_jobs(
    tmp_path: Path, form: Any
) -> None:
    utterances = read_manifest(write_tones(tmp_path, "train", random_texts(8)))
    how = ShardSettings(shard_mb=0.05, form=form)
    one = write_shards(utterances, tmp_path / "one", how)
    two = write_shards(utterances, tmp_path / "two", how, num_jobs=1 if form == "keep" else 2)
    assert one == two
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    durations = sum(u.duration_s or 0 for u in read_shards([str(tmp_path / "one")]).utterances)
    assert durations == pytest.approx(sum(u.duration_s or 0 for u in utterances), abs=0.01)


def test_sound_shards_are_kept_and_damaged_ones_written_again(tmp_path: Path) -> None:
    output = written(tmp_path)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    first, second, third = sorted(output.glob("*.tar"))[:3]
    first.write_bytes(first.read_bytes()[:-100])
    second.with_suffix(".jsonl").unlink()
    third.unlink()
    kept = sorted(output.glob("*.tar"))[2].stat().st_mtime_ns
    done: list[int] = []

    def track(shards: Any, total: int) -> Any:
        done.append(total)
        return shards

    utterances = read_manifest(tmp_path / "train.jsonl")
    write_shards(utterances, output, ShardSettings(shard_mb=0.1), track=track)
    assert done == [3]
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert sorted(output.glob("*.tar"))[3].stat().st_mtime_ns == kept
    with pytest.raises(InputError, match="of other settings: name another directory"):
        write_shards(utterances, output, ShardSettings(shard_mb=0.2))


def test_shards_that_are_not_all_written_cannot_be_trained_on(tmp_path: Path) -> None:
    output = written(tmp_path)
    index = json.loads((output / "index.json").read_text())
    index["shards"][1] = None
    (output / "index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="some shards are missing: run `ds2 corpus shard` again"):
        read_shards([str(output / "index.json")])


def test_what_cannot_be_put_into_a_shard_is_refused_by_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording(tmp_path)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    good = {"audio_filepath": "long.wav", "duration": 3.0, "text": "a"}
    cases = [
        ({"audio_filepath": "no.wav", "duration": 1.0}, [], "m.jsonl:2: there is no recording"),
        ({"audio_filepath": "bad.wav", "duration": 1.0}, [], "m.jsonl:2: "),
        ({**good, "duration": 1.0}, ["--format", "keep"], "keep copies whole files"),
        ({**good, "offset": 9.0, "duration": 1.0}, [], "m.jsonl:2: "),
    ]
    for number, (line, options, message) in enumerate(cases):
        manifest = lines_of(tmp_path / "m.jsonl", good, line)
        arguments = ["corpus", "shard", str(manifest), "-o", str(tmp_path / f"out{number}")]
        assert main([*arguments, *options]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert main([*arguments, *options, "--skip-bad"]) in (0, None)
        assert "left out: " in capsys.readouterr().err
        assert len(read_shards([str(tmp_path / f"out{number}")]).utterances) == 1


def test_tars_of_others_are_looked_through(tmp_path: Path) -> None:
    data = recording(tmp_path, 1.0).read_bytes()
    path = tmp_path / "foreign-000.tar"
    with tarfile.open(path, "w") as tar:
        contents = [
            ("deep/a.wav", data),
            ("deep/a.txt", b"one\n"),
            ("b.json", b'{"text": "two", "speaker": 7}'),
            ("b.wav", data),
            ("c.json", b"{"),
            ("c.wav", data),
        ]
        for name, content in contents:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    problems: list[str] = []
    shards = read_shards([str(tmp_path / "foreign-{000..000}.tar")], problems)
    assert [(u.text, u.speaker, u.duration_s) for u in shards.utterances[:2]] == [
        ("one", None, 1.0),
        ("two", "7", 1.0),
    ]
    assert len(problems) == 1
    assert "foreign-000.tar: c.json: " in problems[0]
    wanted = list(enumerate(shards.places))
    assert [found for _, found in read_members(str(path), wanted)] == [data] * 3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=4, max_size=12),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 100),
)
def test_every_utterance_is_in_one_minibatch_within_the_limits(
    sizes: list[int],
    parts: int,
    groups: int,
    shuffle: int,
    epoch: int,
    is_sorted: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    shards = [shard for shard, size in enumerate(sizes) for _ in range(size + 1)]
    durations_s = rng.uniform(0.5, 20, len(shards))
    if is_sorted:
        durations_s = durations_s[np.lexsort((durations_s, shards))]
    order = ShardOrder((parts, groups), shuffle, 60.0, 12, seed)
    sampler = ShardSampler(durations_s.tolist(), shards, order)
    batches = sampler.batches(epoch)
    assert Counter(i for batch in batches for i in batch) == Counter(range(len(shards)))
    assert all(batches)
    assert batches == ShardSampler(durations_s.tolist(), shards, order).batches(epoch)
    for lane in range(sampler.num_lanes):
        for window in sampler.lane(epoch, lane):
            assert sorted(i for _, piece in window.pieces for i in piece) == sorted(
                i for batch in window.batches for i in batch
            )
            for batch in window.batches:
                padded_s = len(batch) * durations_s[batch].max()
                assert padded_s <= 60 / parts + 1e-9 or len(batch) == 1
                assert len(batch) <= max(1, 12 // parts)
    for world_size in range(1, parts + 1):
        keys = [list(sampler.keys(epoch, 0, rank, world_size)) for rank in range(world_size)]
        assert {len(of_rank) for of_rank in keys} == {len(batches)}
        lanes = [{p.lane for [turn] in of_rank for p in turn.portions} for of_rank in keys]
        assert sum(map(len, lanes)) == len(set().union(*lanes)), "a lane read by two processes"


def test_the_first_epoch_runs_from_short_to_long_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    shards = np.repeat(np.arange(20), 200)
    durations_s = rng.uniform(1, 16, len(shards))
    durations_s = durations_s[np.lexsort((durations_s, shards))]
    order = ShardOrder((2, 2), 2, 120.0, 64)
    sampler = ShardSampler(durations_s.tolist(), shards.tolist(), order)
    first, second, third = (sampler.batches(epoch) for epoch in range(3))
    means = [
        np.mean([durations_s[batch].mean() for batch in part])
        for part in np.array_split(np.array(first, dtype=object), 10)
    ]
    assert means == sorted(means)
    assert second != third
    later = [durations_s[batch].mean() for batch in second]
    assert abs(np.corrcoef(np.arange(len(later)), later)[0, 1]) < 0.2
    padded = sum(len(b) * durations_s[b].max() for b in first)
    assert padded / durations_s.sum() < 1.1


def test_a_minibatch_from_shards_is_that_of_the_same_recordings(tmp_path: Path) -> None:
    output = written(tmp_path)
    config = config_for(tmp_path, output, data__num_workers=0)
    data = load_data(config, tmp_path, None)
    originals = read_manifest(tmp_path / "train.jsonl")
    batches = minibatches(config, data.selection.examples, read_shards([str(output)]).urls)
    found = loaded(batches, 1)
    assert [batch.indices for batch in found] == batches.plan(1)
    for batch in found:
        for row, index in enumerate(batch.indices):
            example = data.selection.examples[index]
            assert example.place is not None
            original = originals[int(example.place.member.partition("-")[0])]
            features = log_spectrogram(read_audio(original.audio_path), config.features)
            assert np.array_equal(batch.features[row, : len(features)].numpy(), features)
            assert batch.frame_lengths[row] == len(features)
            assert data.alphabet.decode(example.labels or ()) == original.text


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_a_run_that_goes_on_loads_exactly_the_rest(tmp_path: Path, num_workers: int) -> None:
    output = written(tmp_path)
    config = config_for(
        tmp_path,
        output,
        data__shard_streams=[1, 3],  # two processes read three streams: one is idle at times
        data__shuffle_shards=1,
        data__num_workers=0,
        augmentation__speed_probability=0.5,
    )
    for epoch in (0, 1):
        whole = loaded(minibatches_of(tmp_path, config), epoch)
        other = replace(config, data=replace(config.data, num_workers=num_workers))
        for skip in {0, 1, len(whole) // 2, len(whole) - 1}:
            rest = loaded(minibatches_of(tmp_path, other), epoch, skip)
            assert len(rest) == len(whole) - skip
            for one, two in zip(whole[skip:], rest, strict=True):
                assert one.indices == two.indices
                assert torch.equal(one.features, two.features)
                assert torch.equal(one.labels, two.labels)


class Watched(storage.SequentialReader):
    """A reader that records the opened files and their first bytes."""

    opened: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, url: str, offset: int = 0) -> None:
        Watched.opened.append((url, offset))
        super().__init__(url, offset)


def test_resuming_opens_only_what_is_still_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = written(tmp_path, num=40, shard_mb=0.05)
    config = config_for(
        tmp_path, output, data__num_workers=0, data__shuffle_shards=1, data__max_batch_size=2
    )
    batches = minibatches_of(tmp_path, config)
    num_shards = len(list(output.glob("*.tar")))
    assert num_shards > 5
    monkeypatch.setattr("ds2.shards.reading.SequentialReader", Watched)
    Watched.opened.clear()
    loaded(batches, 1)
    assert len(Watched.opened) == num_shards, "each shard is opened once"
    assert {position for _, position in Watched.opened} == {0}, "and read from its beginning"
    Watched.opened.clear()
    loaded(minibatches_of(tmp_path, config), 1, len(batches.plan(1)) - 1)
    assert len(Watched.opened) == 1


def test_processes_share_the_work_without_overlap(tmp_path: Path) -> None:
    output = written(tmp_path)
    config = config_for(tmp_path, output, data__shard_streams=[2, 2], data__num_workers=0)
    batches = minibatches_of(tmp_path, config)
    ranks = [loaded(batches, 1, rank=rank, world_size=2) for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1]) == len(batches.plan(1))
    together = [one.indices + two.indices for one, two in zip(*ranks, strict=True)]
    assert together == batches.plan(1)
    with pytest.raises(InputError, match="shards are too few for 99 processes"):
        minibatches_of(tmp_path, config_for(tmp_path, output, data__shard_streams=[99, 1]))


def test_a_broken_shard_is_told_with_its_member_and_the_rest_goes_on(tmp_path: Path) -> None:
    output = written(tmp_path)
    first, second = sorted(output.glob("*.tar"))[:2]
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    second.unlink()
    config = config_for(tmp_path, output, data__num_workers=0, data__skip_bad=True)
    batches = minibatches_of(tmp_path, config)
    found = loaded(batches, 0)
    errors = [error for batch in found for error in batch.errors]
    places = read_shards([str(output)]).places
    num_second = sum(place.shard_index == 1 for place in places)
    lost = [error for error in errors if error.startswith(f"{first}: 0000")]
    gone = [error for error in errors if error.startswith(f"{second}: 0000")]
    assert 0 < len(lost) < sum(place.shard_index == 0 for place in places)
    assert len(gone) == num_second
    assert all("there is no such file" in error for error in gone)
    assert len(errors) == len(lost) + len(gone)
    train(tmp_path / "run", replace(config, training=replace(config.training, epochs=1)))
    strict = replace(config, data=replace(config.data, skip_bad=False))
    with pytest.raises(InputError, match=r"train-0000[01]\.tar: \d{8}-.*data\.skip_bad=true"):
        train(tmp_path / "strict", strict)


def test_a_recording_that_is_no_audio_is_told_by_shard_and_member(tmp_path: Path) -> None:
    output = written(tmp_path, shard_mb=10)
    [path] = output.glob("*.tar")
    place = read_shards([str(output)]).places[3]
    data = bytearray(path.read_bytes())
    start = next(p for name, p, _ in members(str(path)) if name == place.member) + 512
    data[start : start + 4] = b"nono"
    path.write_bytes(data)
    config = config_for(tmp_path, output, data__num_workers=0)
    found = loaded(minibatches_of(tmp_path, config), 0)
    [error] = [error for batch in found for error in batch.errors]
    assert error.startswith(f"{path}: {place.member}: ")


class UnsteadyFile(io.BytesIO):
    """A file that fails every few reads, or ends too early."""

    fails_in = 2
    opened: ClassVar[list["UnsteadyFile"]] = []

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size = len(data)
        UnsteadyFile.opened.append(self)

    def read(self, size: int | None = -1) -> bytes:
        UnsteadyFile.fails_in -= 1
        if UnsteadyFile.fails_in == 0:
            UnsteadyFile.fails_in = 4
            raise TimeoutError("the server is busy")
        if UnsteadyFile.fails_in == 2:
            return b""  # as for a closed connection
        return super().read(size)


class UnsteadyStorage(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Storage with breaking connections; its files are on disk."""

    protocol = "unsteady"

    def _open(self, path: str, **_: Any) -> UnsteadyFile:
        return UnsteadyFile(Path(path).read_bytes())

    def open(self, path: str, *_: Any, **__: Any) -> UnsteadyFile:
        return self._open(path)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": Path(path).stat().st_size, "type": "file"}


@pytest.fixture
def unsteady(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("unsteady", UnsteadyStorage, clobber=True)
    monkeypatch.setattr(storage, "FIRST_WAIT_S", 0.0)
    UnsteadyFile.opened.clear()


@pytest.mark.usefixtures("unsteady")
def test_a_connection_that_breaks_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    output = written(tmp_path)
    path = min(output.glob("*.tar"))
    with storage.SequentialReader(f"unsteady://{path}", 512) as reader:
        pieces = iter(lambda: reader.read(1000), b"")
        assert b"".join(pieces) == path.read_bytes()[512:]
    assert len(UnsteadyFile.opened) > 2
    assert all(file.closed for file in UnsteadyFile.opened), "a file that was given up stays open"


def test_what_does_not_pass_is_told_at_once_and_what_does_not_end_after_some_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "FIRST_WAIT_S", 0.0)
    tried: list[int] = []

    def fail() -> bytes:
        tried.append(1)
        raise ConnectionResetError("connection reset")

    with pytest.raises(InputError, match=r"s3://b/k: cannot be read: connection reset \(5 att"):
        storage.keep_trying(fail, "s3://b/k")
    assert len(tried) == 5
    with pytest.raises(InputError, match="there is no such file"):
        storage.read_whole(str(tmp_path / "none"))
    with pytest.raises(InputError, match="there is no such file"):
        storage.read_whole("memory://nothing/here")
    with pytest.raises(InputError, match=r"nosuch://x: .*"):
        storage.read_whole("nosuch://x")


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_shards_behind_an_address_give_the_same_minibatches(tmp_path: Path, protocol: str) -> None:
    output = written(tmp_path)
    base = f"file://{output}"
    if protocol == "memory":
        base = "memory://bucket/shards"
        memory = fsspec.filesystem("memory")
        memory.put(f"{output}/", "/bucket/shards/", recursive=True)
    last = len(list(output.glob("*.tar"))) - 1
    local = config_for(tmp_path, output, data__num_workers=0)
    for source in (f"{base}/index.json", f"{base}/train-{{00000..{last:05d}}}.tar"):
        assert is_shards(source)
        overrides = [f'data.train=["{source}"]']
        remote = load_config(
            QUICKSTART,
            [*tone_settings(output, local.data.dev[0], data__max_batch_size=4), *overrides],
        )
        assert remote.data.train == (source,)
        remote = replace(remote, data=replace(remote.data, num_workers=0))
        pairs = zip(
            loaded(minibatches_of(tmp_path, local), 1),
            loaded(minibatches_of(tmp_path, remote), 1),
            strict=True,
        )
        assert all(torch.equal(one.features, two.features) for one, two in pairs)


@pytest.mark.slow
def test_a_run_from_shards_that_is_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    output = written(tmp_path, num=8, shard_mb=0.05)
    arguments = tone_settings(
        output,
        write_tones(tmp_path, "dev", random_texts(3), 1),
        training__epochs=2,
        training__log_every=1,
        training__checkpoint_every_s=0.05,
        data__max_batch_size=2,
        data__num_workers=1,
        network__dropout=0.1,
        augmentation__speed_probability=0.5,
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(QUICKSTART, whole, *arguments))
    process = start(QUICKSTART, killed, *arguments)
    kill_after(process, killed, 3, signal.SIGKILL)
    process.communicate(timeout=100)
    assert process.returncode != 0
    finish(start(killed))
    assert_same_runs(whole, killed)
    checkpoint = read_checkpoint(whole / "checkpoints" / LAST)
    assert checkpoint.config.data.shard_streams == (1, 1)


@pytest.mark.slow
def test_two_processes_with_shards_of_their_own_equal_one_with_all(tmp_path: Path) -> None:
    output = written(tmp_path, num=10, shard_mb=0.1)
    dev = write_tones(tmp_path, "dev", random_texts(3), 1)
    settings = {
        "training__epochs": 2,
        "training__log_every": 1,
        "training__optimiser": "sgd",  # AdamW's step for a mere rounding error is as large
        "training__learning_rate": 1e-4,
        "training__momentum": 0.9,
        "data__max_batch_size": 4,
        "data__num_workers": 0,
    }
    train_with_processes(2, tmp_path / "two", tone_settings(output, dev, **settings))
    train(tmp_path / "one", tone_config(output, dev, **settings, data__shard_streams=[2, 1]))
    one, two = (read_checkpoint(tmp_path / name / "checkpoints" / LAST) for name in ("one", "two"))
    assert two.config.data.shard_streams == (2, 1)
    assert one.progress.step == two.progress.step
    assert one.progress.order == two.progress.order
    for name, weights in one.network.items():
        torch.testing.assert_close(weights, two.network[name], rtol=1e-3, atol=1e-5)


def test_manifests_and_shards_do_not_mix(tmp_path: Path) -> None:
    output = written(tmp_path)
    config = config_for(tmp_path, output)
    both = (str(output), str(tmp_path / "train.jsonl"))
    with pytest.raises(InputError, match="is a manifest, but others are shards"):
        minibatches_of(tmp_path, replace(config, data=replace(config.data, train=both)))
    with pytest.raises(InputError, match=r"only data\.train takes shards: name a manifest"):
        minibatches_of(tmp_path, replace(config, data=replace(config.data, dev=(output,))))
