"""Where the samples of a film's sound lie in the film, by the time stamps of its container.

A recogniser that only counts samples is early by all that the sound lacks: a sound that begins
later than the picture, a pause of the recorder, packets that were lost. Silence of the same length
stands in for what is missing, as FFmpeg's filter `aresample=async=1` has it. Stamps that cannot be
right are told of, and the samples are counted on.
"""

import logging

TOLERANCE_S = 0.1
"""Stamps are this much off their samples in sound files: containers round, clocks drift."""
LONGEST_GAP_S = 3600.0
"""Between two sounds; a longer one is taken for a wrong stamp."""
MOST_SILENCE_S = 4 * 3600.0
"""In all gaps of a file together: a small file must not unpack without end."""
LONGEST_OVERLAP_S = 1.0
"""Of sounds that lie on one another, of which the second loses its beginning."""
MOST_LEFT_OUT = 0.01
"""The share of a sound that may be lost so; a clock that goes wrong steadily would take it all."""
CLOCK_AHEAD_S, CLOCK_BACK_S = 10.0, 1.0
"""Pictures that jump so far, where one broadcast follows another, are on another clock."""
CLOCK_KEPT_S = 5.0
"""Sound that goes on for so long on the old clock shows that there is no other."""

logger = logging.getLogger("ds2.audio")


class PictureClock:
    """What to add to a broadcast's stamps so that they run on where its clock jumps."""

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
    """Puts one sound's pieces on the time of its film, one after the other."""

    def __init__(
        self, name: str, rate_hz: int, zero_s: float, pictures: PictureClock | None = None
    ) -> None:
        """name: of the recording, for messages. zero_s: the stamp at which the film begins.

        pictures: where the clock may jump for pictures and sound alike.
        """
        self.position = 0  # samples put so far, silence among them
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
        """How many samples the stamp lies after the end of what is there."""
        return round((stamp_s + self._shift_s - self._zero_s) * self._rate_hz) - self.position

    def _follow(self, pictures: PictureClock, stamp_s: float, num_samples: int) -> int:
        """The offset after the clock of the pictures has jumped: the sound's jumps soon."""
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
                "%s: the clock of the film jumps after %.2f s: times count on as its pictures do",
                self._name,
                self.position / self._rate_hz,
            )
        return self._offset(stamp_s)

    def _silence(self, offset: int) -> int:
        """How much of it stands in for a gap of `offset` samples."""
        longest = LONGEST_GAP_S * self._rate_hz
        if offset <= longest and self._num_silent + offset <= MOST_SILENCE_S * self._rate_hz:
            return offset
        self._count_on(offset, "jump ahead")
        return 0

    def _overlap(self, offset: int) -> int:
        """How many samples lie before what is already there, and are left out for that."""
        most = MOST_LEFT_OUT * self.position + LONGEST_OVERLAP_S * self._rate_hz
        if offset <= LONGEST_OVERLAP_S * self._rate_hz and self._num_left_out + offset <= most:
            return offset
        self._count_on(-offset, "jump back")
        return 0

    def _count_on(self, offset: int, what: str) -> None:
        """Take a stamp, so far off, for the time that the samples have reached; say so once."""
        there_s, offset_s = self.position / self._rate_hz, offset / self._rate_hz
        self._zero_s += offset_s
        if what in self._told:
            return
        self._told.add(what)
        logger.warning(
            "%s: the time stamps of the sound %s, from %.2f s to %.2f s: that cannot be right: "
            "the sound is read on without a break, and times after it may be off",
            self._name,
            what,
            there_s,
            there_s + offset_s,
        )
