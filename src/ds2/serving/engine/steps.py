"""How long the next step of streams is, and how many samples a stream needs for a step."""

from collections.abc import Sequence

from ds2.model.acoustic import UNKNOWN_LENGTH
from ds2.recognition.streams import Stream


def frames_of_step(streams: Sequence[Stream], max_frames: int) -> int:
    """How many frames a step of these streams takes: as many whole chunks as all of them have.

    A stream that has ended has as many frames as are needed: zeros follow its last frame. If all
    streams have ended, the step is no longer than the frames that are left.
    """
    chunk = streams[0].chunk_frames
    waiting = [stream.num_pending for stream in streams if stream.length == UNKNOWN_LENGTH]
    wanted = min(waiting) if waiting else max(stream.num_frames_left for stream in streams)
    if not waiting and wanted <= max(chunk, max_frames):
        return max(wanted, streams[0].model.bundle.model.time_stride)
    return max(chunk, min(wanted, max_frames) // chunk * chunk)


def samples_needed(stream: Stream, num_heard: int) -> int:
    """Samples that a stream needs for a chunk after it has heard `num_heard`; at least 1."""
    features = stream.model.bundle.features
    num_frames = stream.chunk_frames - stream.num_pending
    over = (num_heard - features.window) % features.stride
    if num_heard < features.window:
        over = num_heard - features.window + features.stride
    return max(1, num_frames * features.stride - over)
