"""What augmentation does to a waveform and its features, in numpy: the reference of the tensors."""

import math
from functools import lru_cache

import numpy as np

from ds2.audio.resampling import SAMPLE_RATE_HZ
from ds2.model.features import Floats
from ds2.training.augment import Changes, length_at_speed

SILENCE = 1e-10  # mean power, -100 dB re full scale: too little to set a signal-to-noise ratio by
REACH = 32
"""Samples on either side that one sample at another speed is made of."""
PASSED = 0.94
"""Of the frequencies there are, the share that a change of speed lets pass."""
BAND_REACH = 320
"""Samples on either side that a filter sees: from all to nothing takes some 140 Hz."""


def change_waveform(waveform: Floats, changes: Changes) -> Floats:
    """The changed waveform; the input itself, never altered, if nothing is done to it.

    waveform: (N,) float32 at 16 kHz
    returns: (N',) float32; only a change of speed changes the length. What would exceed full
        scale is turned down, as clipping would be a change of its own.
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
    """The features as of another vocal tract, and masked; the input itself if nothing is done.

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
    """The waveform played at so many percent of its speed, pitch and all."""
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
    """(percent + 2 * REACH, 100): from a stretch of samples to 100 of them at the new speed.

    A sinc under a Kaiser window, cut off where the slower of both rates has no more to give.
    """
    places = np.arange(100) * percent / 100
    taps = np.arange(percent + 2 * REACH)[:, None] - (REACH - 1)
    distance = taps - places  # (taps, 100)
    cutoff = min(1.0, 100 / percent) * PASSED
    inside = np.clip(1 - (distance / REACH) ** 2, 0, None)
    window = np.i0(8.0 * np.sqrt(inside)) / np.i0(8.0) * (np.abs(distance) < REACH)
    return np.asarray(cutoff * np.sinc(cutoff * distance) * window, np.float32)


def mix_noise(waveform: Floats, noise: Floats, snr_db: float) -> Floats:
    """The waveform with (N,) noise added, so much weaker in mean power than the waveform.

    Unchanged if either is silent: then there is no such ratio.
    """
    power, noise_power = _mean_power(waveform), _mean_power(noise)
    if min(power, noise_power) < SILENCE:
        return waveform
    gain = math.sqrt(power / noise_power / 10 ** (snr_db / 10))
    return waveform + np.float32(gain) * noise


def reverberate(waveform: Floats, tail: Floats) -> Floats:
    """The waveform in a room: itself, in place, and what the room adds.

    The direct sound keeps its time and level, so that alignments hold; the end is cut at N.
    """
    return _convolved(waveform, np.concatenate([np.ones(1, np.float32), tail]), 0)


def limit_band(waveform: Floats, low_hz: float, high_hz: float) -> Floats:
    """The waveform without what lies below `low_hz` or above `high_hz`, not delayed."""
    return filtered(waveform, band_filter(((low_hz, high_hz),)))


def filtered(waveform: Floats, filter_: Floats) -> Floats:
    """The waveform through a filter of an odd number of taps, not delayed."""
    return _convolved(waveform, filter_, len(filter_) // 2)


def band_filter(bands: tuple[tuple[float, float], ...]) -> Floats:
    """(taps,), odd in number: keeps what lies in all the bands, (low, high) in Hz each."""
    whole = np.ones(1)
    for low_hz, high_hz in bands:
        time_s = np.arange(-BAND_REACH, BAND_REACH + 1) / SAMPLE_RATE_HZ
        # The cut-offs named are still passed: the fall begins there.
        high, low = 2 * (high_hz + 70.0), 2 * (low_hz - 70.0) if low_hz > 0 else 0.0
        taps = min(high, SAMPLE_RATE_HZ) * np.sinc(min(high, SAMPLE_RATE_HZ) * time_s)
        taps -= low * np.sinc(low * time_s)
        whole = np.convolve(whole, taps * np.blackman(len(taps)) / SAMPLE_RATE_HZ)
    return whole.astype(np.float32)


def warp(features: Floats, factor: float) -> Floats:
    """The features as of a vocal tract that many times shorter: resonances move up by it.

    features: (T, F) float32, linear in frequency. See `warped_bins`.
    """
    below, share = warped_bins(features.shape[1], factor)
    left = features[:, below]
    return left + (features[:, below + 1] - left) * share


def warped_bins(
    num_bins: int, factor: float
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Floats]:
    """Where each bin's feature comes from: the bin below, and the share of the one above it.

    Frequencies are multiplied by the factor up to a knee, and from there run straight to the
    highest, which stays where it is (as in HTK and Kaldi).
    """
    highest = num_bins - 1
    knee = 0.85 * highest * min(1.0, factor)  # where a resonance lands at most
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
    """As many samples of the convolution as the waveform has, from the `first` on.

    In float64: what float32 would leave as rounding is seen in the pauses, where nothing else is.
    """
    length = _fast_length(len(waveform) + len(response))
    wide = waveform.astype(np.float64), response.astype(np.float64)
    spectrum = np.fft.rfft(wide[0], length) * np.fft.rfft(wide[1], length)
    convolved = np.fft.irfft(spectrum, length)[first : first + len(waveform)]
    return np.asarray(convolved, np.float32)


def _mean_power(waveform: Floats) -> float:
    return float(np.dot(waveform, waveform)) / max(1, len(waveform))


def _fast_length(num_samples: int) -> int:
    """The least 2^n times 9 to 16 that is no less: a length with small factors, quick for FFTs."""
    step = 1 << max(0, num_samples.bit_length() - 4)
    return -(-num_samples // step) * step
