"""One step of a model for several streams, side by side in a batch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ds2.model.acoustic import UNKNOWN_LENGTH, gather_state, scatter_state
from ds2.recognition.streams import Stream
from ds2.recognition.voice import listen


def frames_of_step(streams: Sequence[Stream], max_frames: int) -> int:
    """How many frames a step of these streams takes: chunks that all of them have.

    A stream that has ended has any number: zeros follow its last frame. If all have ended the
    step need not be longer than what is left.
    """
    chunk = streams[0].chunk_frames
    waiting = [stream.num_pending for stream in streams if stream.length == UNKNOWN_LENGTH]
    wanted = min(waiting) if waiting else max(stream.num_frames_left for stream in streams)
    if not waiting and wanted <= max(chunk, max_frames):
        return max(wanted, streams[0].model.bundle.model.time_stride)
    return max(chunk, min(wanted, max_frames) // chunk * chunk)


def samples_needed(stream: Stream, num_heard: int) -> int:
    """Samples that a stream needs until it has a chunk, after the first `num_heard`; at least 1."""
    features = stream.model.bundle.features
    num_frames = stream.chunk_frames - stream.num_pending
    over = (num_heard - features.window) % features.stride
    if num_heard < features.window:
        over = num_heard - features.window + features.stride
    return max(1, num_frames * features.stride - over)


def step(streams: Sequence[Stream], num_frames: int) -> NDArray[np.float32]:
    """Move the network of each stream by so many frames; (B, T', V) log_probs for their decoders.

    The rows of the states are copied: as views of the batch, an idle stream's would keep all of
    it. That, and putting the batch together, takes less than a hundredth of the step's time.
    """
    listen([voice for stream in streams if (voice := stream.segments.voice)])
    frames = np.stack([stream.take_frames(num_frames) for stream in streams])
    lengths = np.array([stream.length for stream in streams], np.int64)
    state = gather_state([stream.state for stream in streams])
    log_probs, state = streams[0].model.step(frames, state, lengths)
    for stream, own in zip(streams, scatter_state(state), strict=True):
        stream.state = {name: value.copy() for name, value in own.items()}
    return log_probs
