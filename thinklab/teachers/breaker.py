"""``Breaker``: a circuit breaker: after many failures in a row, requests are paused.

One request against a dead service takes minutes (attempts x time limit). After ``after`` requests in a row that ended in a
temporary failure, requests are rejected at once for ``first_pause_s``, then single attempts are allowed; if one fails, the
pause doubles. Any reply, even a refusal, ends it.
"""

from __future__ import annotations

from dataclasses import dataclass

PASSING = ("rate-limit", "overloaded", "server", "connection", "timeout", "bad-reply")


class Resting(Exception):
    """Requests to the service are paused."""


@dataclass
class Breaker:
    """``after = 0`` never pauses. Times are seconds on any monotonic clock."""

    after: int = 16
    first_pause_s: float = 60.0
    longest_pause_s: float = 900.0
    in_a_row: int = 0
    resting_until: float = float("-inf")
    _pause_s: float = 0.0

    @property
    def tripped(self) -> bool:
        """True from the first pause until the service answers again: a single attempt is allowed then."""
        return bool(self._pause_s)

    def rest_s(self, now: float) -> float:
        """Seconds left in the pause; 0 if requests are allowed."""
        return max(0.0, self.resting_until - now)

    def let_through(self, now: float) -> None:
        """Raises: Resting: during a
        pause.
        """
        if rest := self.rest_s(now):
            raise Resting(f"the service has failed {self.in_a_row} times in a row; the next attempt is in {rest:.0f} s")

    def ended(self, error: str, now: float) -> None:
        """A request has ended, with this error or none. Requests already running when the pause began do not lengthen it."""
        if error not in PASSING:
            self.in_a_row, self._pause_s, self.resting_until = 0, 0.0, float("-inf")
            return
        self.in_a_row += 1
        if self.after and self.in_a_row >= self.after and now >= self.resting_until:
            self._pause_s = min(self.longest_pause_s, self._pause_s * 2 or self.first_pause_s)
            self.resting_until = now + self._pause_s
