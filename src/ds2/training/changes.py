"""The changes of augmentation, in numpy. The same changes on tensors must agree with these."""

import math
from functools import lru_cache

import numpy as np

from ds2.audio.resampling import SAMPLE_RATE_HZ
from ds2.model.features import Floats
from ds2.training.augment import Changes, length_at_speed

SILENCE = 1e-10  # mean power, -100 dB re full scale: weaker sound has no signal-to-noise ratio
REACH = 32
"""Samples on either side that give one sample at another speed."""
PASSED = 0.94
"""Share of the frequency range that a change of speed keeps."""
BAND_REACH = 320
"""Samples on either side that a filter uses. Its gain falls from 1 to 0 over about 140 Hz."""


def change_waveform(waveform: Floats, changes: Changes) -> Floats:
    """The changed waveform, or the input itself if there is no change.

    waveform: (N,) float32 at 16 kHz; never altered
    returns: (N',) float32; only a change of speed changes the length. A waveform that would
        exceed full scale is turned down, because clipping would be one more change.
    """
    if not changes.waveform_changes:
        return waveform
    changed = change_speed(waveform, changes.speed_percent)
    if changes.tail is not None:
        changed = reverberate(changed, changes.tail)
    if changes.noise is not None:
        changed = mix_noise(changed, changes.noise, changes.noise_snr_db)
    if changes.bands:
        changed = filtered(changed, band_filter(changes.bands))
    if changes.gain != 1.0:
        changed = changed * np.float32(changes.gain)
    return _turn_down(changed)


def change_features(features: Floats, changes: Changes) -> Floats:
    """The features of another vocal tract, with masks, or the input itself if there is no change.

    features: (T, F) float32; not altered
    """
    if changes.vocal_tract != 1.0:
        features = warp(features, changes.vocal_tract)
    if changes.time_masks or changes.frequency_masks:
        if changes.vocal_tract == 1.0:
            features = features.copy()
        for first, end in changes.time_masks:
            features[first:end] = 0
        for first, end in changes.frequency_masks:
            features[:, first:end] = 0
    return features


def change_speed(waveform: Floats, percent: int) -> Floats:
    """The waveform at `percent` percent of its speed. The pitch changes with the speed."""
    if percent == 100 or not len(waveform):
        return waveform
    filters = speed_filters(percent)
    num_blocks = -(-length_at_speed(len(waveform), percent) // 100)
    padded = np.zeros((num_blocks - 1) * percent + len(filters), np.float32)
    taken = waveform[: len(padded) - (REACH - 1)]
    padded[REACH - 1 : REACH - 1 + len(taken)] = taken
    blocks = np.lib.stride_tricks.sliding_window_view(padded, len(filters))[::percent]
    return (blocks @ filters).ravel()[: length_at_speed(len(waveform), percent)]


@lru_cache(maxsize=256)
def speed_filters(percent: int) -> Floats:
    """(percent + 2 * REACH, 100): maps a stretch of samples to 100 samples at the new speed.

    A sinc under a Kaiser window. It cuts off below the highest frequency of the slower rate.
    """
    places = np.arange(100) * percent / 100
    taps = np.arange(percent + 2 * REACH)[:, None] - (REACH - 1)
    distance = taps - places  # (taps, 100)
    cutoff = min(1.0, 100 / percent) * PASSED
    inside = np.clip(1 - (distance / REACH) ** 2, 0, None)
    window = np.i0(8.0 * np.sqrt(inside)) / np.i0(8.0) * (np.abs(distance) < REACH)
    return np.asarray(cutoff * np.sinc(cutoff * distance) * window, np.float32)


def mix_noise(waveform: Floats, noise: Floats, snr_db: float) -> Floats:
    """The waveform with (N,) noise added, `snr_db` dB below the waveform in mean power.

    The waveform does not change if either is silent: then there is no ratio.
    """
    power, noise_power = _mean_power(waveform), _mean_power(noise)
    if min(power, noise_power) < SILENCE:
        return waveform
    gain = math.sqrt(power / noise_power / 10 ** (snr_db / 10))
    return waveform + np.float32(gain) * noise


def reverberate(waveform: Floats, tail: Floats) -> Floats:
    """The waveform in a room: the direct sound and the tail that the room adds.

    The direct sound keeps its time and level, so that alignments stay right. The result has the
    length of the waveform.
    """
    return _convolved(waveform, np.concatenate([np.ones(1, np.float32), tail]), 0)


def limit_band(waveform: Floats, low_hz: float, high_hz: float) -> Floats:
    """The waveform without the frequencies below `low_hz` or above `high_hz`, not delayed."""
    return filtered(waveform, band_filter(((low_hz, high_hz),)))


def filtered(waveform: Floats, filter_: Floats) -> Floats:
    """The waveform after a filter with an odd number of taps, not delayed."""
    return _convolved(waveform, filter_, len(filter_) // 2)


def band_filter(bands: tuple[tuple[float, float], ...]) -> Floats:
    """(taps,), an odd number: a filter that keeps what all the bands share, (low, high) in Hz."""
    whole = np.ones(1)
    for low_hz, high_hz in bands:
        time_s = np.arange(-BAND_REACH, BAND_REACH + 1) / SAMPLE_RATE_HZ
        # The filter still passes the cut-offs: its gain begins to fall there.
        high, low = 2 * (high_hz + 70.0), 2 * (low_hz - 70.0) if low_hz > 0 else 0.0
        taps = min(high, SAMPLE_RATE_HZ) * np.sinc(min(high, SAMPLE_RATE_HZ) * time_s)
        taps -= low * np.sinc(low * time_s)
        whole = np.convolve(whole, taps * np.blackman(len(taps)) / SAMPLE_RATE_HZ)
    return whole.astype(np.float32)


def warp(features: Floats, factor: float) -> Floats:
    """The features of a vocal tract that is `factor` times shorter: resonances move up.

    features: (T, F) float32, linear in frequency. See `warped_bins`.
    """
    below, share = warped_bins(features.shape[1], factor)
    left = features[:, below]
    return left + (features[:, below + 1] - left) * share


def warped_bins(
    num_bins: int, factor: float
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Floats]:
    """The sources of each bin's feature: the bin below, and the share of the bin above it.

    Frequencies up to a knee are multiplied by the factor. From the knee on, they run in a straight
    line to the highest frequency, which stays in its place (as in HTK and Kaldi).
    """
    highest = num_bins - 1
    knee = 0.85 * highest * min(1.0, factor)  # the highest frequency that multiplication gives
    bins = np.arange(num_bins)
    source = np.where(
        bins <= knee,
        bins / factor,
        knee / factor + (bins - knee) * (highest - knee / factor) / (highest - knee),
    )
    below = np.minimum(source.astype(np.int64), highest - 1)
    return below, (source - below).astype(np.float32)


def _turn_down(waveform: Floats) -> Floats:
    peak = max(float(waveform.max()), -float(waveform.min()), 1.0)
    return waveform if peak == 1.0 else waveform / np.float32(peak)


def _convolved(waveform: Floats, response: Floats, first: int) -> Floats:
    """The samples of the convolution from `first` on, as many as the waveform has.

    In float64: the rounding errors of float32 would show in the pauses, which hold nothing else.
    """
    length = _fast_length(len(waveform) + len(response))
    wide = waveform.astype(np.float64), response.astype(np.float64)
    spectrum = np.fft.rfft(wide[0], length) * np.fft.rfft(wide[1], length)
    convolved = np.fft.irfft(spectrum, length)[first : first + len(waveform)]
    return np.asarray(convolved, np.float32)


def _mean_power(waveform: Floats) -> float:
    return float(np.dot(waveform, waveform)) / max(1, len(waveform))


def _fast_length(num_samples: int) -> int:
    """The least length that is enough and is 2^n times 9 to 16: its small factors suit FFTs."""
    step = 1 << max(0, num_samples.bit_length() - 4)
    return -(-num_samples // step) * step
