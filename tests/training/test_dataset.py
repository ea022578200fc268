"""From manifests to minibatches: selection, refusals with the line, loading."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aids.tones import random_texts, tone_config, write_tones
from ds2.audio import read_audio
from ds2.errors import InputError
from ds2.model.features import FeatureConfig, log_spectrogram
from ds2.text.alphabet import english_characters
from ds2.training.augment import Augmenter
from ds2.training.config import RunConfig
from ds2.training.data.dataset import SpeechDataset, collate, load_batches
from ds2.training.data.examples import (
    read_utterances,
    refuse_bad,
    select_for_evaluation,
    select_for_training,
)

ALWAYS = {"augmentation__speed_probability": 1.0, "augmentation__mask_probability": 1.0}


def dataset(config: RunConfig, *, augmented: bool = False) -> SpeechDataset:
    utterances = read_utterances(config.data.train)
    examples = select_for_training(utterances, english_characters(), config).examples
    return SpeechDataset(examples, config, Augmenter(config.augmentation) if augmented else None)


def edit_line(manifest: Path, number: int, **changes: object) -> None:
    lines = manifest.read_text().splitlines()
    record = {**json.loads(lines[number - 1]), **changes}
    lines[number - 1] = json.dumps({key: v for key, v in record.items() if v is not None})
    manifest.write_text("\n".join(lines) + "\n")


def test_every_bad_utterance_is_listed_with_file_and_line(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "train", ["bad"] * 8)
    edit_line(manifest, 2, text="bäd")
    edit_line(manifest, 3, text="a" * 60)
    edit_line(manifest, 4, text=None)
    edit_line(manifest, 5, audio_filepath="train/absent.wav")
    edit_line(manifest, 6, duration=90.0)
    edit_line(manifest, 7, duration=0.01)
    config = tone_config(manifest, manifest, data__normalise=False)
    selection = select_for_training(read_utterances([manifest]), english_characters(), config)
    assert len(selection.examples) == 2
    assert (selection.num_short, selection.num_long) == (1, 1)
    for line, (problem, said) in zip(
        (2, 3, 4, 5),
        zip(selection.bad, ("ä", "119", "no text", "absent.wav"), strict=True),
        strict=True,
    ):
        assert problem.startswith(f"{manifest}:{line}: ")
        assert said in problem


def test_bad_utterances_stop_the_run_unless_they_may_be_skipped(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "train", ["bad", "cab"])
    edit_line(manifest, 2, text="a" * 60)
    config = tone_config(manifest, manifest)
    selection = select_for_training(read_utterances([manifest]), english_characters(), config)
    with pytest.raises(InputError, match=r"train\.jsonl:2.*skip_bad"):
        refuse_bad(selection, skip_bad=False)
    refuse_bad(selection, skip_bad=True)
    edit_line(manifest, 1, duration=99.0)
    selection = select_for_training(read_utterances([manifest]), english_characters(), config)
    with pytest.raises(InputError, match="1 too long"):
        refuse_bad(selection, skip_bad=True)


def test_durations_come_from_the_recording_where_the_manifest_has_none(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "train", ["bad"])
    known = read_utterances([manifest])
    edit_line(manifest, 1, duration=None)
    config = tone_config(manifest, manifest)
    selections = [
        select_for_training(utterances, english_characters(), config).examples
        for utterances in (known, read_utterances([manifest]))
    ]
    assert selections[0][0].duration_s == selections[1][0].duration_s


def test_evaluation_keeps_what_the_alphabet_cannot_spell(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "dev", ["bad", "cab"])
    edit_line(manifest, 2, text="中文")
    config = tone_config(manifest, manifest, data__normalise=False)
    examples = select_for_evaluation(read_utterances([manifest]), english_characters(), config)
    assert [example.text for example in examples] == ["bad", "中文"]
    assert examples[0].labels == (2, 1, 4)
    assert examples[1].labels is None


def test_a_minibatch_is_the_padded_features_of_its_recordings(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "train", ["bad", "decade cab"])
    config = tone_config(manifest, manifest)
    data = dataset(config)
    batch = collate([data[0, 0], data[0, 1]], FeatureConfig())
    assert batch.features.dtype == torch.float32
    for row, name in enumerate(("0000.wav", "0001.wav")):
        features = log_spectrogram(read_audio(manifest.parent / "train" / name), config.features)
        length = int(batch.frame_lengths[row])
        assert length == len(features)
        np.testing.assert_array_equal(batch.features[row, :length].numpy(), features)
        assert not batch.features[row, length:].any()
    assert batch.labels.tolist() == [[2, 1, 4, *[0] * 7], [4, 5, 3, 1, 4, 5, 28, 3, 1, 2]]
    assert batch.label_lengths.tolist() == [3, 10]
    assert batch.errors == []


def test_what_is_loaded_depends_on_seed_epoch_and_utterance_alone(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "train", random_texts(3))
    config = tone_config(manifest, manifest, **ALWAYS)
    first, second = dataset(config, augmented=True), dataset(config, augmented=True)
    _ = [second[0, index] for index in (2, 0)]  # earlier minibatches must not matter
    np.testing.assert_array_equal(first[1, 1].features, second[1, 1].features)
    assert first[1, 1].features.shape != first[2, 1].features.shape
    other_seed = dataset(
        tone_config(manifest, manifest, training__seed=5, **ALWAYS), augmented=True
    )
    assert other_seed[1, 1].features.shape != first[1, 1].features.shape


def test_speech_made_too_fast_for_its_text_is_left_at_its_speed(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "train", ["bad"])
    # 0.5 s are 49 frames, 25 outputs: room for 25 letters, but not at twice the speed.
    edit_line(manifest, 1, text="ab" * 12)
    twice = tone_config(
        manifest,
        manifest,
        augmentation__speed_probability=1.0,
        augmentation__speed_factor=[2.0, 2.0],
        augmentation__gain_probability=0.0,
    )
    assert len(dataset(twice, augmented=True)[0, 0].features) == 49
    edit_line(manifest, 1, text="ab" * 3)
    assert len(dataset(twice, augmented=True)[0, 0].features) == 24


def test_a_recording_that_cannot_be_used_becomes_an_empty_row_with_its_line(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "train", ["bad", "decade decade", "cab"])
    config = tone_config(manifest, manifest)
    data = dataset(config, augmented=True)
    (tmp_path / "train" / "0000.wav").write_bytes(b"no recording")
    # The manifest claims more audio than the file has.
    (tmp_path / "train" / "0001.wav").write_bytes((tmp_path / "train/0002.wav").read_bytes()[:3000])
    batch = collate([data[0, index] for index in range(3)], FeatureConfig())
    assert (batch.frame_lengths > 0).tolist() == [False, False, True]
    assert [
        f"{manifest}:{line}: " in error for line, error in zip((1, 2), batch.errors, strict=True)
    ]


def test_a_share_of_nothing_is_one_empty_row() -> None:
    batch = collate([], FeatureConfig())
    assert batch.features.shape == (1, 1, 161)
    assert batch.frame_lengths.tolist() == [0]
    assert batch.indices == []


def test_loading_processes_change_nothing(tmp_path: Path) -> None:
    manifest = write_tones(tmp_path, "train", random_texts(6))
    keys = [[(0, 3), (0, 1)], [(0, 2)], [(1, 0), (1, 4), (1, 5)]]
    batches = []
    for num_workers in (0, 2):
        config = tone_config(manifest, manifest, data__num_workers=num_workers, **ALWAYS)
        loader = load_batches(dataset(config, augmented=True), keys, config, torch.device("cpu"))
        batches.append(list(loader))
    for alone, helped in zip(*batches, strict=True):
        assert alone.indices == helped.indices
        assert torch.equal(alone.features, helped.features)
        assert torch.equal(alone.labels, helped.labels)
