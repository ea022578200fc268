"""Utterances to padded minibatches. Loading processes read them, change them, make features."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from ds2.audio import read_audio
from ds2.errors import InputError
from ds2.model.features import FeatureConfig, Floats, log_spectrogram
from ds2.training.augment import (
    Augmenter,
    Changes,
    SpeedPlan,
    augmentation_rng,
    length_at_speed,
)
from ds2.training.changes import change_features, change_waveform
from ds2.training.config import RunConfig
from ds2.training.data.examples import Example, output_frames
from ds2.training.data.processes import Loader
from ds2.training.data.resident import Stored
from ds2.training.data.sample_cache import CachedSamples
from ds2.training.data.tensor_front_end import RawUtterances, features_of, side_by_side
from ds2.training.network.loss import frames_needed

Key = tuple[int, int]
"""An epoch and an utterance's index. A loaded utterance depends on nothing else."""

PREFETCHED_BATCHES = 4  # per process: it reads audio while the network computes


@dataclass(frozen=True)
class Item:
    """One utterance, loaded.

    features: (T, F) float32; labels: (U,); error: the reason for a missing utterance, T = U = 0.
    waveform, changes: (N,) float32, or its place on the device, and the changes to it. They stand
    in place of features if the device computes these.
    """

    index: int
    features: Floats
    labels: tuple[int, ...]
    error: str | None = None
    waveform: Floats | Stored | None = None
    changes: Changes | None = None


@dataclass(frozen=True)
class Batch:
    """Utterances side by side, padded.

    features: (B, T, F) float32; frame_lengths, label_lengths: (B,) int64; labels: (B, U) int64.
    An utterance that could not be loaded has both lengths 0, and `errors` names it.
    """

    features: Tensor
    frame_lengths: Tensor
    labels: Tensor
    label_lengths: Tensor
    indices: list[int]
    errors: list[str]
    raw: RawUtterances | None = None  # the device makes features of it; until then T is 0

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device, which computes the features if they are not there yet.

        Copies from pinned memory do not wait for the device.
        """
        batch = self._with_tensors(lambda tensor: tensor.to(device, non_blocking=True))
        if batch.raw is None:
            return batch
        return replace(batch, features=features_of(batch.raw), raw=None)

    def with_samples(self, samples: Tensor) -> "Batch":
        """The batch with the device's samples, which hold the samples of its utterances."""
        raw = None if self.raw is None else replace(self.raw, samples=samples)
        return replace(self, raw=raw)

    def pin_memory(self) -> "Batch":
        """The batch in memory that a GPU can fetch from. DataLoader calls this method by name."""
        return self._with_tensors(Tensor.pin_memory)

    def in_shared_memory(self) -> "Batch":
        """The batch in shared memory. Raises RuntimeError if there is too little of it."""
        return self._with_tensors(Tensor.share_memory_)

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            change(self.features),
            change(self.frame_lengths),
            change(self.labels),
            change(self.label_lengths),
            self.indices,
            self.errors,
            None if self.raw is None else self.raw.each(change),
        )


class SpeechDataset(Dataset[Item]):
    """Examples by (epoch, index). A loaded item depends on the seed and this key alone."""

    def __init__(
        self,
        examples: Sequence[Example],
        config: RunConfig,
        augmenter: Augmenter | None = None,
        speed: SpeedPlan | None = None,
        samples: CachedSamples | None = None,
        places: Sequence[Stored] | None = None,
    ) -> None:
        """With an augmenter, utterances are changed and masked. Without it, they stay as they are.

        speed: the speeds of utterances; None: the augmenter draws them.
        samples: the examples that are decoded already; places: where the device holds the samples,
            if it holds all of them.
        """
        self._examples = examples
        self._config = config
        self._augmenter = augmenter
        self._speed = speed
        self._samples = samples
        self._places = places

    def __getitem__(self, key: Key) -> Item:
        """Load one utterance. The item names the error if there is one."""
        epoch, index = key
        utterance = self._examples[index].utterance
        if self._places is not None:
            return self._stored(epoch, index, self._places[index])
        decoded = None if self._samples is None else self._samples.waveform(index)
        read = functools.partial(
            read_audio,
            utterance.audio_path,
            offset_s=utterance.offset_s,
            duration_s=utterance.duration_s,
        )
        try:
            return self.load(epoch, index, read if decoded is None else lambda: decoded)
        except InputError as error:
            return self.failed(index, f"{utterance.where}: {error}")

    def _stored(self, epoch: int, index: int, place: Stored) -> Item:
        labels = self._examples[index].labels or ()
        try:
            changes = self._changes(epoch, index, len(place), labels)
        except InputError as error:
            item = self.failed(index, f"{self._examples[index].utterance.where}: {error}")
            return replace(item, waveform=Stored(0, 0))
        return Item(index, self._nothing(), labels, waveform=place, changes=changes)

    def failed(self, index: int, error: str) -> Item:
        """The item in place of an utterance that cannot be loaded."""
        return Item(index, self._nothing(), (), error)

    def _nothing(self) -> Floats:
        return np.zeros((0, self._config.features.num_bins), np.float32)

    def load(self, epoch: int, index: int, read: Callable[[], Floats]) -> Item:
        """Make an item of the waveform that `read` returns. Raises InputError."""
        waveform = read()
        labels = self._examples[index].labels or ()
        if self._augmenter is None:
            return Item(index, self._features(waveform), labels)
        changes = self._changes(epoch, index, len(waveform), labels)
        if self._config.data.augment_on == "device":
            return Item(index, self._nothing(), labels, waveform=waveform, changes=changes)
        features = self._features(change_waveform(waveform, changes))
        return Item(index, change_features(features, changes), labels)

    def _changes(self, epoch: int, index: int, num_samples: int, labels: Sequence[int]) -> Changes:
        """The changes to the utterance in this epoch. Raises InputError if it is too short."""
        assert self._augmenter is not None
        config = self._config
        self._check_fits(num_samples, labels)
        rng = augmentation_rng(config.training.seed, epoch, index)
        percent = None if self._speed is None else int(self._speed.percents(epoch)[index])
        changes = self._augmenter.draw(num_samples, rng, percent)
        changed_samples = length_at_speed(num_samples, changes.speed_percent)
        if not self._fits(changed_samples, labels):  # too fast: too few frames for the text
            rng = augmentation_rng(config.training.seed, epoch, index)
            changes, changed_samples = self._augmenter.draw(num_samples, rng, 100), num_samples
        return self._augmenter.draw_for_features(
            changes,
            config.features.num_frames(changed_samples),
            config.features.num_bins,
            rng,
        )

    def _features(self, waveform: Floats) -> Floats:
        return log_spectrogram(waveform, self._config.features)

    def _fits(self, num_samples: int, labels: Sequence[int]) -> bool:
        frames = output_frames(num_samples, self._config.features, self._config.network)
        return frames >= max(1, frames_needed(labels))

    def _check_fits(self, num_samples: int, labels: Sequence[int]) -> None:
        if not self._fits(num_samples, labels):
            seconds = num_samples / self._config.features.sample_rate_hz
            raise InputError(f"the recording holds only {seconds:.2f} s: too short for its text")


def collate(items: Sequence[Item], features_config: FeatureConfig) -> Batch:
    """Items side by side, padded with zeros. No items give a single row of length 0.

    With that row, a process without a share in a minibatch still takes part in its statistics.
    """
    num_rows, num_bins = max(1, len(items)), features_config.num_bins
    num_frames = max([1, *(len(item.features) for item in items)])
    num_labels = max([1, *(len(item.labels) for item in items)])
    features = np.zeros((num_rows, num_frames, num_bins), np.float32)
    labels = np.zeros((num_rows, num_labels), np.int64)
    frame_lengths = np.zeros(num_rows, np.int64)
    label_lengths = np.zeros(num_rows, np.int64)
    for row, item in enumerate(items):
        frame_lengths[row], label_lengths[row] = len(item.features), len(item.labels)
        features[row, : len(item.features)] = item.features
        labels[row, : len(item.labels)] = item.labels
    raw = None
    if any(item.changes is not None for item in items):
        raw = side_by_side(
            [np.zeros(0, np.float32) if i.waveform is None else i.waveform for i in items],
            [i.changes or Changes() for i in items],
            features_config,
        )
        counts = [features_config.num_frames(n) for n in raw.lengths.tolist()]
        frame_lengths[: len(items)] = counts
    return Batch(
        features=torch.from_numpy(features),
        frame_lengths=torch.from_numpy(frame_lengths),
        labels=torch.from_numpy(labels),
        label_lengths=torch.from_numpy(label_lengths),
        indices=[item.index for item in items],
        errors=[item.error for item in items if item.error is not None],
        raw=raw,
    )


def _collate_to_hand_over(items: Sequence[Item], features_config: FeatureConfig) -> Batch:
    """The batch, in memory that a loading process shares with its parent.

    Torch would move it there in a thread whose errors nobody sees: the parent would wait for ever.
    """
    batch = collate(items, features_config)
    return batch if get_worker_info() is None else batch.in_shared_memory()


def load_batches(
    dataset: SpeechDataset,
    keys: Iterable[list[Key]],
    config: RunConfig,
    device: torch.device,
    *,
    keeps_processes: bool = True,
) -> Loader[Batch]:
    """The minibatches of these keys, in order. `data.num_workers` processes load them ahead.

    keeps_processes: whether the processes stay alive from one pass over the keys to the next.
    """
    return loader(dataset, keys, config, device, keeps_processes=keeps_processes)


def loader(
    dataset: Dataset[Any],
    keys: Iterable[list[Any]],
    config: RunConfig,
    device: torch.device,
    *,
    keeps_processes: bool = True,
) -> Loader[Batch]:
    """The minibatches of any dataset of items. Its keys go to the processes in turn."""
    num_workers = config.data.num_workers
    batches: DataLoader[Batch] = DataLoader(
        dataset,  # of items; collate turns them into batches
        batch_sampler=keys,
        num_workers=num_workers,
        collate_fn=functools.partial(_collate_to_hand_over, features_config=config.features),
        pin_memory=device.type == "cuda",
        persistent_workers=keeps_processes and num_workers > 0,
        prefetch_factor=PREFETCHED_BATCHES if num_workers else None,
        generator=torch.Generator(),  # without it, it would change the global generator
    )
    return Loader(batches)
