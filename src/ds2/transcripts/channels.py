"""Make one transcript of a recording's channels, with a speaker on each channel."""

from collections.abc import Sequence

from ds2.transcripts.transcript import Transcript


def merged(channels: Sequence[Transcript]) -> Transcript:
    """One transcript of all channels, in time order.

    The words of a segment stay together, even if somebody speaks on another channel meanwhile.

    channels: the transcripts from the first channel on, at least one, all in one language.
    """
    language = channels[0].language
    duration_s = max(each.duration_s for each in channels)
    whole = Transcript((), duration_s, language, channels=tuple(channels))
    words = tuple(word for segment in whole.segments() for word in segment.words)
    return Transcript(words, duration_s, language, channels=tuple(channels))
