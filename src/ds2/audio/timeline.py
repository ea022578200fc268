"""Places the samples of a film's sound at their times in the film, by the container's stamps.

The sound may begin later than the picture, the recorder may pause, and packets may be lost. A
recogniser that only counts samples would then give times that are too early. So this fills each gap
with silence of the same length, as FFmpeg's filter `aresample=async=1` does. If a stamp cannot be
right, this logs a warning and counts on.
"""

import logging

TOLERANCE_S = 0.1
"""Right files have stamps that differ from their samples by up to this: containers round times,
and clocks drift."""
LONGEST_GAP_S = 3600.0
"""The longest gap between two sounds. A longer one means a wrong stamp."""
MOST_SILENCE_S = 4 * 3600.0
"""The most silence in all gaps of a file, so that a small file cannot unpack without end."""
LONGEST_OVERLAP_S = 1.0
"""The longest overlap of two sounds. The second sound loses its beginning."""
MOST_LEFT_OUT = 0.01
"""The largest share of a sound to lose in overlaps. A clock that always runs wrong would take it
all."""
CLOCK_AHEAD_S, CLOCK_BACK_S = 10.0, 1.0
"""A jump of the pictures this far ahead or back means a new clock, as when one broadcast follows
another."""
CLOCK_KEPT_S = 5.0
"""If the sound goes on this long with the old clock, there is no new clock."""

logger = logging.getLogger("ds2.audio")


class PictureClock:
    """The time to add to a broadcast's stamps, so that they run on where its clock jumps."""

    def __init__(self) -> None:
        self.shift_s = 0.0
        self._last_s: float | None = None
        self._step_s = 0.0  # from one picture to the next

    def see(self, stamp_s: float) -> None:
        """Take the stamp of the next picture."""
        step_s = 0.0 if self._last_s is None else stamp_s - self._last_s
        if not -CLOCK_BACK_S <= step_s <= CLOCK_AHEAD_S:
            self.shift_s -= step_s - self._step_s
        else:
            self._step_s = step_s
        self._last_s = stamp_s


class Timeline:
    """Puts the pieces of a sound at their times in the film, one after the other."""

    def __init__(
        self, name: str, rate_hz: int, zero_s: float, pictures: PictureClock | None = None
    ) -> None:
        """name: of the recording, for messages. zero_s: the stamp at which the film begins.

        pictures: the clock of the pictures, if it may jump for pictures and sound alike.
        """
        self.position = 0  # samples so far, with silence
        self._name, self._rate_hz, self._zero_s = name, rate_hz, zero_s
        self._pictures, self._shift_s, self._num_on_old_clock = pictures, 0.0, 0
        self._num_silent = self._num_left_out = 0
        self._is_begun = False
        self._told: set[str] = set()

    def put(self, stamp_s: float | None, num_samples: int) -> tuple[int, int]:
        """Samples of silence before the next piece, and samples to leave out at its beginning.

        stamp_s: of the piece, in the container's time; None if it has none.
        num_samples: of the piece.
        """
        num_silent = num_left_out = 0
        if stamp_s is not None:
            offset = self._offset(stamp_s)
            if self._pictures is not None and self._pictures.shift_s != self._shift_s:
                offset = self._follow(self._pictures, stamp_s, num_samples)
            if offset > (self._num_tolerated if self._is_begun else 0):
                num_silent = self._silence(offset)
            elif offset < -self._num_tolerated:
                num_left_out = min(num_samples, self._overlap(-offset))
        self._is_begun = True
        self._num_silent += num_silent
        self._num_left_out += num_left_out
        self.position += num_silent + num_samples - num_left_out
        return num_silent, num_left_out

    @property
    def _num_tolerated(self) -> float:
        return TOLERANCE_S * self._rate_hz

    def _offset(self, stamp_s: float) -> int:
        """The samples between the current end and the stamp."""
        return round((stamp_s + self._shift_s - self._zero_s) * self._rate_hz) - self.position

    def _follow(self, pictures: PictureClock, stamp_s: float, num_samples: int) -> int:
        """The offset after the pictures' clock has jumped. The sound's clock jumps soon after."""
        offset = self._offset(stamp_s)
        if abs(offset) <= self._num_tolerated:
            self._num_on_old_clock += num_samples
            if self._num_on_old_clock > CLOCK_KEPT_S * self._rate_hz:
                pictures.shift_s = self._shift_s
            return offset
        self._num_on_old_clock = 0
        self._shift_s = pictures.shift_s
        if "clock" not in self._told:
            self._told.add("clock")
            logger.info(
                "%s: the clock of the film jumps after %.2f s: ds2 counts the times on",
                self._name,
                self.position / self._rate_hz,
            )
        return self._offset(stamp_s)

    def _silence(self, offset: int) -> int:
        """The samples of silence for a gap of `offset` samples."""
        longest = LONGEST_GAP_S * self._rate_hz
        if offset <= longest and self._num_silent + offset <= MOST_SILENCE_S * self._rate_hz:
            return offset
        self._count_on(offset, "jump ahead")
        return 0

    def _overlap(self, offset: int) -> int:
        """The samples to leave out because they overlap the sound before them."""
        most = MOST_LEFT_OUT * self.position + LONGEST_OVERLAP_S * self._rate_hz
        if offset <= LONGEST_OVERLAP_S * self._rate_hz and self._num_left_out + offset <= most:
            return offset
        self._count_on(-offset, "jump back")
        return 0

    def _count_on(self, offset: int, what: str) -> None:
        """Ignore a stamp that is wrong by `offset`, count on from the samples, and warn once."""
        there_s, offset_s = self.position / self._rate_hz, offset / self._rate_hz
        self._zero_s += offset_s
        if what in self._told:
            return
        self._told.add(what)
        logger.warning(
            "%s: the time stamps of the sound %s, from %.2f s to %.2f s, which cannot be right: "
            "ds2 reads on without a gap, and later times may be wrong",
            self._name,
            what,
            there_s,
            there_s + offset_s,
        )
