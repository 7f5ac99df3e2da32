"""Presentation times out of a container's timestamps."""

from __future__ import annotations

_JUMP_BACK_S = 1.0  # a stamp this much earlier than the one before starts a new count, it is no jitter


class Clock:
    """Times from 0, strictly increasing; where the stamps are not, they are made up.

    origin: the stamp of time 0, that of the first frame unless `start` set another.
    repaired: the times that were made up; unstamped: how many of those frames had no stamp at all.
    """

    def __init__(self, interval_s: float) -> None:
        self.origin = 0.0
        self.repaired: list[float] = []
        self.unstamped = 0
        self._interval = interval_s
        self._last: float | None = None
        self._started = False

    def start(self, origin_s: float) -> None:
        self.origin, self._started = origin_s, True

    def __call__(self, stamp_s: float | None) -> float:
        """The time of the next frame, whose stamp is `stamp_s`, in seconds (None where it has none)."""
        if self._last is None:
            if not self._started:
                self.start(stamp_s or 0.0)
            self._last = max(0.0, (self.origin if stamp_s is None else stamp_s) - self.origin)
            return self._last
        if stamp_s is None:
            self.unstamped += 1
            return self._make_up(self._last + self._interval)
        time_s = stamp_s - self.origin
        if time_s < self._last - _JUMP_BACK_S:
            self.origin -= self._last + self._interval - time_s
            return self._make_up(self._last + self._interval)
        if time_s <= self._last:  # half a step, so that the next true stamp is likely to fit again
            return self._make_up(self._last + self._interval / 2)
        self._last = time_s
        return time_s

    def _make_up(self, time_s: float) -> float:
        self._last = time_s
        self.repaired.append(time_s)
        return time_s
