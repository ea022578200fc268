"""Recordings with several channels: mixes them, splits them, or takes one."""

import logging
from typing import Literal, TypeAlias

import numpy as np

from ds2.audio.resampling import Waveform
from ds2.errors import InputError

Channels: TypeAlias = Literal["mix", "split"] | int
"""The mean of all; each channel apart; or the channel of this number, counted from 1."""

SHARE_OF_MIX = 0.1
"""A share of the energy that a mix keeps if its channels have nothing in common. A mix keeps less
than this only if one channel is nearly the other with the opposite sign."""

logger = logging.getLogger("ds2.audio")


def check_channels(channels: Channels) -> None:
    """Raise InputError for a wrong choice of channels."""
    is_number = isinstance(channels, int) and not isinstance(channels, bool) and channels >= 1
    if not is_number and channels not in ("mix", "split"):
        raise InputError(f'channels: must be "mix", "split" or a number from 1, not {channels!r}')


def read_channels(text: str) -> Channels:
    """The choice of channels that a user wrote. Raises InputError."""
    if text in ("mix", "split"):
        return text  # type: ignore[return-value]
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text)):
        raise InputError(f"must be mix, split or a number from 1 on, not {text[:20]}")
    return int(text)


class ChannelChoice:
    """Takes samples of all channels, and gives those of the chosen channels."""

    def __init__(self, channels: Channels, name: str) -> None:
        """name: of the recording, for messages. Raises InputError."""
        check_channels(channels)
        self.channels = channels
        self._name = name
        self._mix = DownMix(name)
        self._num_channels: int | None = None  # of the frames before

    def feed(self, frames: Waveform) -> Waveform:
        """Turn (N, C) float32 into (N,), or into (N, C) for split channels. Raises InputError."""
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
                "convert it to one number of channels"
            )
        self._num_channels = num_channels


class DownMix:
    """The mean of the channels; or one of them, if they cancel each other in the mean.

    A cable with swapped poles, or a wrong setting of a recorder, gives one channel the opposite
    sign. The mean of such channels is nearly silent. The energies of the channels and of their
    mean, summed from the start of the recording, show this at the first loud moment.
    """

    def __init__(self, name: str) -> None:
        """name: of the recording, for messages."""
        self._name = name
        self._is_told = False
        self._begin(1)

    def _begin(self, num_channels: int) -> None:
        self._energies = np.zeros(num_channels)  # of the channels so far
        self._mixed = 0.0  # energy of their mean so far
        self._chosen: int | None = None  # the channel to use while they cancel each other

    def feed(self, frames: Waveform) -> Waveform:
        """Turn (N, C) float32 into (N,)."""
        if frames.shape[1] == 1:
            return frames[:, 0]
        if frames.shape[1] != len(self._energies):  # a recording may change in the middle
            self._begin(frames.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):  # `checked` reports broken samples later
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
                "%s: its channels have opposite signs and cancel each other in the mix: "
                "using channel %d only",
                self._name,
                number,
            )
