"""The cache of decoded recordings: kept samples, new decoding, and files after a kill."""

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from aids.tones import random_texts, tone_config, write_tones
from ds2.audio import read_audio, write_wav
from ds2.manifest import Utterance, read_manifest
from ds2.training.data import sample_cache
from ds2.training.data.sample_cache import CachedSamples, CacheSettings, cached_samples, to_16_bits
from ds2.training.run.parts import load_data


def recordings(directory: Path, count: int, seconds: float = 0.5) -> list[Utterance]:
    found = []
    for index in range(count):
        waveform = np.random.default_rng(index).uniform(-0.5, 0.5, round(16_000 * seconds))
        path = directory / f"{index}.wav"
        write_wav(path, waveform.astype(np.float32))
        found.append(Utterance(path, seconds, "a"))
    return found


def fill(
    directory: Path, utterances: list[Utterance], limit_gb: float = 1.0, num_workers: int = 0
) -> tuple[CachedSamples | None, int]:
    """The samples, and the number of decoded recordings."""
    done = [0]
    samples = cached_samples(
        utterances,
        [utterance.duration_s or 0.5 for utterance in utterances],
        CacheSettings(directory, limit_gb, num_workers),
        lambda _: None,
        lambda number, _: done.__setitem__(0, number),
    )
    return samples, done[0]


def assert_all_there(samples: CachedSamples | None, utterances: list[Utterance]) -> None:
    assert samples is not None
    for index, utterance in enumerate(utterances):
        waveform = samples.waveform(index)
        assert waveform is not None
        assert np.array_equal(waveform, read_audio(utterance.audio_path))  # 16-bit files: exact


@pytest.mark.parametrize("num_workers", [0, 2])
def test_each_recording_is_decoded_once(tmp_path: Path, num_workers: int) -> None:
    utterances = recordings(tmp_path, 6)
    samples, decoded = fill(tmp_path / "cache", utterances[:4], num_workers=num_workers)
    assert_all_there(samples, utterances[:4])
    assert decoded == 4
    samples, decoded = fill(tmp_path / "cache", utterances[::-1], num_workers=num_workers)
    assert_all_there(samples, utterances[::-1])
    assert decoded == 2
    assert_all_there(pickle.loads(pickle.dumps(samples)), utterances[::-1])


def test_a_changed_recording_and_another_part_are_decoded_anew(tmp_path: Path) -> None:
    utterances = recordings(tmp_path, 2)
    fill(tmp_path / "cache", utterances)
    write_wav(utterances[0].audio_path, np.full(8000, 0.25, np.float32))
    samples, decoded = fill(tmp_path / "cache", utterances)
    assert decoded == 1
    assert_all_there(samples, utterances)
    part = Utterance(utterances[1].audio_path, 0.1, "a", offset_s=0.2)
    samples, decoded = fill(tmp_path / "cache", [part])
    assert samples is not None
    assert decoded == 1
    assert len(samples.waveform(0)) == 1600  # type: ignore[arg-type]


def test_what_does_not_fit_is_decoded_each_time(tmp_path: Path) -> None:
    utterances = recordings(tmp_path, 5)
    samples, decoded = fill(tmp_path / "cache", utterances, limit_gb=3.5 * 16_000 / 1e9)
    assert samples is not None
    assert (decoded, len(samples)) == (3, 3)
    assert samples.waveform(4) is None


def test_room_is_made_at_the_cost_of_what_other_runs_left(tmp_path: Path) -> None:
    utterances = recordings(tmp_path, 6)
    first, _ = fill(tmp_path / "cache", utterances[:4], limit_gb=4 * 16_000 / 1e9)
    samples, decoded = fill(tmp_path / "cache", utterances[2:], limit_gb=4 * 16_000 / 1e9)
    assert_all_there(samples, utterances[2:])
    assert decoded == 2
    assert_all_there(first, utterances[:4])  # a run that has it open continues with it
    assert len(list((tmp_path / "cache").glob("*.i16"))) == 1


@pytest.mark.parametrize("cut", [1, 31, 40, 10_000])
def test_a_kill_loses_only_what_was_not_yet_in_the_index(tmp_path: Path, cut: int) -> None:
    utterances = recordings(tmp_path, 4)
    fill(tmp_path / "cache", utterances)
    index = tmp_path / "cache" / sample_cache.INDEX
    index.write_bytes(index.read_bytes()[:-cut])
    samples, decoded = fill(tmp_path / "cache", utterances)
    assert_all_there(samples, utterances)
    assert decoded == min(4, -(-cut // 32))
    assert fill(tmp_path / "cache", utterances)[1] == 0


def test_a_recording_that_cannot_be_read_is_left_to_the_loader(tmp_path: Path) -> None:
    utterances = recordings(tmp_path, 3)
    utterances[1].audio_path.write_bytes(b"no sound")
    samples, _ = fill(tmp_path / "cache", utterances)
    assert samples is not None
    assert samples.waveform(1) is None
    assert np.array_equal(samples.waveform(2), read_audio(utterances[2].audio_path))  # type: ignore[arg-type]


def _fill_in_a_process(directory: Path, utterances: list[Utterance]) -> None:
    samples, _ = fill(directory, utterances)
    assert_all_there(samples, utterances)


@pytest.mark.slow
def test_two_runs_that_build_it_at_once_share_it(tmp_path: Path) -> None:
    utterances = recordings(tmp_path, 30)
    context = multiprocessing.get_context("spawn")
    parts = [utterances[:20], utterances[10:]]
    processes = [
        context.Process(target=_fill_in_a_process, args=(tmp_path / "cache", part))
        for part in parts
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert fill(tmp_path / "cache", utterances)[1] == 0
    size = next((tmp_path / "cache").glob("*.i16")).stat().st_size
    assert size == 30 * 16_000  # nothing is decoded twice


def test_a_directory_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said: list[str] = []
    utterances = recordings(tmp_path, 1)
    settings = CacheSettings(tmp_path / "file" / "cache", 1.0, 0)
    assert cached_samples(utterances, [0.5], settings, said.append, lambda *_: None) is None
    assert "data.cache_dir" in said[0]


def test_sixteen_bits_round_and_clip() -> None:
    waveform = np.array([0.0, 1.4 / 32768, 1.6 / 32768, 1.5, -1.5], np.float32)
    assert to_16_bits(waveform).tolist() == [0, 1, 2, 32767, -32768]


def test_minibatches_are_the_same_with_and_without_it(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "train", random_texts(8))
    batches = []
    for gigabytes in (0.0, 1.0):
        config = tone_config(
            manifest,
            manifest,
            data__cache_gb=gigabytes,
            data__cache_dir=str(tmp_path / "cache"),
            augmentation__speed_probability=1.0,
            augmentation__mask_probability=1.0,
        )
        data = load_data(config, tmp_path, None)
        batches.append(next(data.batches.load([1], 0, torch.device("cpu"))))
    assert (tmp_path / "cache" / sample_cache.INDEX).exists()
    assert (batches[0].features == batches[1].features).all()
    assert len(read_manifest(manifest)) == 8
