"""The sound tracks of a recording, and which of them is meant."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ds2.errors import InputError
from ds2.text.language import language_of_name

logger = logging.getLogger("ds2.audio")


@dataclass(frozen=True)
class Track:
    """A sound track, as its container describes it; None is what it does not tell."""

    number: int  # from 1, of the sound tracks alone
    encoding: str
    num_channels: int | None
    sample_rate_hz: int | None
    language: str | None = None  # as the container has it: "eng"
    title: str | None = None
    is_default: bool = False
    start_s: float | None = None  # in the film's time
    duration_s: float | None = None

    @property
    def description(self) -> str:
        """In a message: 2 (deu, "Commentary")."""
        facts = [self.language or "", f'"{self.title}"' if self.title else ""]
        told = ", ".join(fact for fact in facts if fact)
        return f"{self.number} ({told})" if told else str(self.number)


def choose_track(tracks: Sequence[Track], wanted: int | str | None, name: str) -> Track:
    """The track of this number or in this language; None is the default track, or the first.

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
                f'track "{wanted}": it must be a number, or a language such as en or German'
            )
        fitting = [
            track
            for track in tracks
            if track.language and language_of_name(track.language) == language
        ]
        if len(tracks) == 1 and not tracks[0].language:
            fitting = list(tracks)  # there is no choice, and nothing speaks against it
    if not fitting:
        there = ", ".join(track.description for track in tracks)
        raise InputError(f"{name}: has no sound track {wanted}: there is {there}")
    return _preferred(fitting)


def tell_choice(
    tracks: Sequence[Track], chosen: Track, wanted: int | str | None, name: str
) -> None:
    """Say which track is heard, if there was a choice and a number has not made it."""
    if len(tracks) == 1 or isinstance(wanted, int) or (wanted and wanted.strip().isdecimal()):
        return
    others = ", ".join(track.description for track in tracks if track is not chosen)
    logger.info(
        "%s: of %d sound tracks, number %s is heard; there is also %s: choose with --track",
        name,
        len(tracks),
        chosen.description,
        others,
    )


def _preferred(tracks: Sequence[Track]) -> Track:
    return next((track for track in tracks if track.is_default), tracks[0])
