"""Transcripts of a recording's channels, with a speaker on each, as one transcript."""

from collections.abc import Sequence

from ds2.transcripts.transcript import Transcript


def merged(channels: Sequence[Transcript]) -> Transcript:
    """One transcript of all channels, in the order of time.

    What somebody says at a stretch stays together, though another channel speaks meanwhile.

    channels: at least one, of one language, from the first channel on.
    """
    language = channels[0].language
    duration_s = max(each.duration_s for each in channels)
    whole = Transcript((), duration_s, language, channels=tuple(channels))
    words = tuple(word for segment in whole.segments() for word in segment.words)
    return Transcript(words, duration_s, language, channels=tuple(channels))
