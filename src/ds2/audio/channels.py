"""Recordings of several channels: their mix, one of them, or each apart."""

import logging
from typing import Literal, TypeAlias

import numpy as np

from ds2.audio.resampling import Waveform
from ds2.errors import InputError

Channels: TypeAlias = Literal["mix", "split"] | int
"""Their mean; each apart; or the one of this number, from 1."""

SHARE_OF_MIX = 0.1
"""Of the energy that a mix keeps if its channels have nothing in common. Less is left only where
one channel is the other with the opposite sign, or close to it."""

logger = logging.getLogger("ds2.audio")


def check_channels(channels: Channels) -> None:
    """Raise InputError for what is no choice of channels."""
    is_number = isinstance(channels, int) and not isinstance(channels, bool) and channels >= 1
    if not is_number and channels not in ("mix", "split"):
        raise InputError(f'channels: must be "mix", "split" or a number from 1, not {channels!r}')


class ChannelChoice:
    """Takes frames of all channels, and gives what is to be heard of them."""

    def __init__(self, channels: Channels, name: str) -> None:
        """name: of the recording, in messages. Raises InputError."""
        check_channels(channels)
        self.channels = channels
        self._name = name
        self._mix = DownMix(name)
        self._num_channels: int | None = None  # of the frames before

    def feed(self, frames: Waveform) -> Waveform:
        """(N, C) float32 to (N,), or to (N, C) where the channels are split. Raises InputError."""
        if self.channels == "split":
            self._check_same(frames.shape[1])
            return frames
        if self.channels == "mix":
            return self._mix.feed(frames)
        num_channels = frames.shape[1]
        if self.channels > num_channels:
            there = f"{num_channels} channel{'s' * (num_channels > 1)}"
            raise InputError(f"{self._name}: has {there}: there is no channel {self.channels}")
        return frames[:, self.channels - 1]

    def _check_same(self, num_channels: int) -> None:
        if self._num_channels not in (None, num_channels):
            raise InputError(
                f"{self._name}: changes from {self._num_channels} to {num_channels} channels: "
                "convert it to one form"
            )
        self._num_channels = num_channels


class DownMix:
    """The mean of the channels; or one of them, where they cancel each other in the mean.

    A cable with its poles swapped, or a wrong setting of a recorder, gives one channel the
    opposite sign. Nothing is left of such a recording in the mean. The energies of the channels
    and of their mean, from the start of the recording on, tell it in the first loud moment.
    """

    def __init__(self, name: str) -> None:
        """name: of the recording, in messages."""
        self._name = name
        self._is_told = False
        self._begin(1)

    def _begin(self, num_channels: int) -> None:
        self._energies = np.zeros(num_channels)  # of the channels so far
        self._mixed = 0.0  # energy of their mean so far
        self._chosen: int | None = None  # channel; while they cancel each other

    def feed(self, frames: Waveform) -> Waveform:
        """(N, C) float32 to (N,)."""
        if frames.shape[1] == 1:
            return frames[:, 0]
        if frames.shape[1] != len(self._energies):  # recordings may change in the middle
            self._begin(frames.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):  # broken samples are told of later
            mean: Waveform = frames.mean(axis=1)
            self._energies += np.einsum("nc,nc->c", frames, frames)
            self._mixed += float(mean @ mean)
            total = float(np.sum(self._energies))
            cancels = self._mixed * frames.shape[1] ** 2 < SHARE_OF_MIX * total
            if not cancels:
                self._chosen = None
            elif self._chosen is None:
                self._chosen = int(np.argmax(self._energies))
                self._tell(self._chosen + 1)
        return mean if self._chosen is None else frames[:, self._chosen]

    def _tell(self, number: int) -> None:
        if not self._is_told:
            self._is_told = True
            logger.warning(
                "%s: its channels have opposite signs and cancel each other when mixed: "
                "channel %d alone is heard",
                self._name,
                number,
            )
