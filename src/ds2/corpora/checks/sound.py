"""Reads recordings to the end, measures their sound, and finds faults."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ds2.audio import SAMPLE_RATE_HZ, Waveform, audio_blocks, probe_audio
from ds2.corpora.checks.loudness import Loudness
from ds2.corpora.checks.problem import Problem
from ds2.errors import InputError
from ds2.manifest.utterance import Utterance

SILENT_PEAK = 1e-3  # of full scale: -60 dB
CLIPPED_LEVEL = 0.99  # of full scale; lossy coding moves the tops of clipped waves a little
CLIPPED_FRACTION = 1e-3  # a larger share of clipped samples makes a note
WINDOW = 512  # samples in each window of the spectrum
BANDWIDTH_DB = 60  # below the strongest band; less is not a voice
NARROW_HZ = 6500.0  # 16 kHz recordings of voices reach 7 kHz and more
TOLERANCE_S = 0.1  # of a duration in a manifest, plus 1% of it


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound of an utterance in its recording."""

    duration_s: float  # of the utterance, as read
    recording_s: float | None  # of the whole recording, by its header
    sample_rate_hz: int  # of the recording; 16,000 for Opus, which decodes to any rate
    peak: float  # largest magnitude, 1 at full scale
    clipped_fraction: float  # of the samples, at full scale
    level_db: float | None  # of the mean power, 0 at full scale; None: digital silence
    snr_db: float | None  # an estimate: see Loudness; None: too short
    bandwidth_hz: float  # where the spectrum ends, at most 8,000
    digest: str  # equal for equal samples, whatever the file format


def listen(
    utterances: Sequence[Utterance],
    num_threads: int = 1,
    on_done: Callable[[], object] = lambda: None,
) -> list[Sound | Problem]:
    """The sound of each utterance, or the problem with reading it.

    on_done: a function to call after each utterance.
    """
    found: list[Sound | Problem] = []
    with ThreadPoolExecutor(num_threads) as pool:
        # In pieces, so that an interrupt does not wait for all recordings.
        for start in range(0, len(utterances), 32 * num_threads):
            for sound in pool.map(listen_to, utterances[start : start + 32 * num_threads]):
                found.append(sound)
                on_done()
    return found


def listen_to(utterance: Utterance) -> Sound | Problem:
    """The sound of one utterance, or the problem with reading it."""
    if not os.path.lexists(utterance.audio_path):
        message = f"there is no recording {utterance.audio_path}"
        gist = f"there is none in {utterance.audio_path.parent}"
        return Problem("missing", utterance.where, message, gist)
    try:
        info = probe_audio(utterance.audio_path)
    except InputError as error:
        return Problem("unreadable", utterance.where, str(error))
    try:
        blocks = audio_blocks(
            utterance.audio_path,
            offset_s=utterance.offset_s,
            duration_s=utterance.duration_s,
        )
        # Opus always decodes to 48 kHz, whatever the rate of its source.
        is_opus = "opus" in info.encoding.lower()
        sample_rate_hz = SAMPLE_RATE_HZ if is_opus else info.sample_rate_hz
        return _measured(blocks, info.duration_s, sample_rate_hz)
    except InputError as error:
        kind = "truncated" if "truncated" in str(error) else "unreadable"
        return Problem(kind, utterance.where, str(error))


def _measured(blocks: Iterator[Waveform], recording_s: float | None, sample_rate_hz: int) -> Sound:
    num_samples, num_clipped, peak = 0, 0, 0.0
    power = np.zeros(WINDOW // 2 + 1)
    loudness = Loudness()
    digest = hashlib.blake2b(digest_size=16)
    for block in blocks:
        magnitude = np.abs(block)
        num_samples += len(block)
        num_clipped += int(np.count_nonzero(magnitude >= CLIPPED_LEVEL))
        peak = max(peak, float(magnitude.max(initial=0)))
        power += _power(block)
        loudness.feed(block)
        digest.update((block * 32767).round().astype("<i2").tobytes())
    return Sound(
        duration_s=num_samples / SAMPLE_RATE_HZ,
        recording_s=recording_s,
        sample_rate_hz=sample_rate_hz,
        peak=peak,
        clipped_fraction=num_clipped / max(1, num_samples),
        level_db=loudness.level_db,
        snr_db=loudness.snr_db,
        bandwidth_hz=_bandwidth_hz(power),
        digest=digest.hexdigest(),
    )


def _power(waveform: Waveform) -> NDArray[np.float64]:
    """The power spectrum, (WINDOW / 2 + 1,), summed over windows."""
    windows = waveform[: len(waveform) // WINDOW * WINDOW].reshape(-1, WINDOW)
    spectrum = np.fft.rfft(windows * np.hanning(WINDOW).astype(np.float32))
    power: NDArray[np.float64] = (np.abs(spectrum) ** 2).sum(axis=0, dtype=np.float64)
    return power


def _bandwidth_hz(power: NDArray[np.float64]) -> float:
    """The upper end of the highest band of 250 Hz that is not 60 dB below the strongest."""
    bands = power[:-1].reshape(-1, 8).sum(axis=1)
    loud = np.flatnonzero(bands > bands.max() * 10 ** (-BANDWIDTH_DB / 10))
    return float(loud[-1] + 1) * 8 * SAMPLE_RATE_HZ / WINDOW if len(loud) else 0.0


def sound_problems(utterance: Utterance, sound: Sound) -> Iterator[Problem]:
    """The problems of an utterance with a readable recording."""
    where = utterance.where
    claimed_s = utterance.duration_s
    if claimed_s is not None:
        tolerance_s = TOLERANCE_S + 0.01 * claimed_s
        if sound.duration_s < claimed_s - tolerance_s:
            yield Problem(
                "truncated",
                where,
                f"the manifest has {claimed_s:g} s, the recording {sound.duration_s:.2f} s",
            )
        rest_s = (sound.recording_s or 0.0) - claimed_s
        if utterance.offset_s == 0 and rest_s > tolerance_s:
            yield Problem("duration", where, f"the recording goes on for {rest_s:.2f} s")
    if sound.peak < SILENT_PEAK:
        yield Problem("silent", where, f"{sound.duration_s:.2f} s of silence")
        return
    if sound.clipped_fraction > CLIPPED_FRACTION:
        percent = f"{sound.clipped_fraction:.1%}"
        message = f"{percent} of the samples are at full scale"
        yield Problem("clipped", where, message, gist="samples are at full scale")
    if sound.sample_rate_hz != SAMPLE_RATE_HZ:
        yield Problem("sample rate", where, f"{sound.sample_rate_hz} Hz, which ds2 converts")
    if sound.bandwidth_hz < NARROW_HZ:
        yield Problem("bandwidth", where, f"nothing above {sound.bandwidth_hz / 1000:g} kHz")
