"""The sound tracks of a recording, and the choice of one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ds2.errors import InputError
from ds2.text.language import language_of_name

logger = logging.getLogger("ds2.audio")


@dataclass(frozen=True)
class Track:
    """A sound track, as its container describes it. None means that the container does not say."""

    number: int  # counts the sound tracks only, from 1
    encoding: str
    num_channels: int | None
    sample_rate_hz: int | None
    language: str | None = None  # as in the container: "eng"
    title: str | None = None
    is_default: bool = False
    start_s: float | None = None  # in the film's time
    duration_s: float | None = None

    @property
    def description(self) -> str:
        """The track in a message: 2 (deu, "Commentary")."""
        facts = [self.language or "", f'"{self.title}"' if self.title else ""]
        told = ", ".join(fact for fact in facts if fact)
        return f"{self.number} ({told})" if told else str(self.number)


def choose_track(tracks: Sequence[Track], wanted: int | str | None, name: str) -> Track:
    """The track with this number or language; None chooses the default track, or the first.

    name: of the recording. Raises InputError if there is no such track.
    """
    if wanted is None:
        return _preferred(tracks)
    if isinstance(wanted, int) or wanted.strip().isdecimal():
        fitting = [track for track in tracks if track.number == int(wanted)]
    else:
        language = language_of_name(wanted)
        if language is None:
            raise InputError(
                f'track "{wanted}": must be a number, or a language such as en or German'
            )
        fitting = [
            track
            for track in tracks
            if track.language and language_of_name(track.language) == language
        ]
        if len(tracks) == 1 and not tracks[0].language:
            fitting = list(tracks)  # there is only this track, and its language may be right
    if not fitting:
        there = ", ".join(track.description for track in tracks)
        raise InputError(f"{name}: has no sound track {wanted}: choose one of {there}")
    return _preferred(fitting)


def tell_choice(
    tracks: Sequence[Track], chosen: Track, wanted: int | str | None, name: str
) -> None:
    """Log which track is used, if there are several and the user gave no number."""
    if len(tracks) == 1 or isinstance(wanted, int) or (wanted and wanted.strip().isdecimal()):
        return
    others = ", ".join(track.description for track in tracks if track is not chosen)
    logger.info(
        "%s: has %d sound tracks: using %s; the others are %s: choose with --track",
        name,
        len(tracks),
        chosen.description,
        others,
    )


def _preferred(tracks: Sequence[Track]) -> Track:
    return next((track for track in tracks if track.is_default), tracks[0])
