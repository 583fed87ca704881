"""``CapKeeper``: caps on dollars, tokens, calls: reserve the worst case, settle the actual cost; ``CostEstimate``.

A call is admitted only if the amount spent, the amount reserved by open calls, and its own worst case fit under every cap
together. If it may fit after others have settled, it waits. An attempt of unknown cost (a timeout, an interrupted connection)
is settled at its worst case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thinklab.errors import ConfigError
from thinklab.teachers.prices import PICO, Price, dollars
from thinklab.types import Usage


@dataclass(frozen=True)
class Caps:
    """0 allows nothing, None means no cap. Each attempt counts as a call."""

    usd: float | None = None
    tokens: int | None = None
    """Input and output together."""
    calls: int | None = None

    def __post_init__(self) -> None:
        for name in ("usd", "tokens", "calls"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigError(f"cap_{name} must be at least 0, or left out for no cap, not {value}")


@dataclass(frozen=True)
class Amount:
    """An amount spent or reserved."""

    picodollars: int = 0
    tokens: int = 0
    calls: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.picodollars + other.picodollars, self.tokens + other.tokens, self.calls + other.calls)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.picodollars - other.picodollars, self.tokens - other.tokens, self.calls - other.calls)


class CapReached(Exception):
    """The call does not fit under a cap; the message says which."""


@dataclass
class CapKeeper:
    """The amounts that one teacher has spent and reserved, kept below its caps.

    Methods that change it must run on one event loop; reading is always safe.
    """

    caps: Caps
    price: Price | None
    """None: unknown. Then there can be no cap in dollars."""
    spent: Amount = Amount()
    reserved: Amount = Amount()
    refused: int = 0
    """Number of calls blocked by a cap."""
    why_refused: str = ""
    """The cap that blocked the last call."""
    _waiting: list[asyncio.Future[None]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if self.price is None and self.caps.usd is not None:
            raise ConfigError(
                "cap_usd cannot be enforced without a price: the table has none for this model. Set one in dollars per million "
                "tokens, "
                "price: {input: ..., output: ...} (0 for a server of your own)"
            )

    def worst(self, input_tokens: int, output_tokens: int) -> Amount:
        """The maximum cost of one call."""
        money = 0 if self.price is None else self.price.at_most(input_tokens, output_tokens)
        return Amount(money, input_tokens + output_tokens, 1)

    async def reserve(self, worst: Amount) -> Amount:
        """Reserves ``worst``; always pass the result to ``settle``.

        Raises:
            CapReached: if it cannot fit even after all open calls have settled.
        """
        while (why := self._exceeded(self.spent + self.reserved + worst)) is not None:
            if self.reserved.calls == 0 or self._exceeded(self.spent + worst) is not None:
                self.refused, self.why_refused = self.refused + 1, why
                raise CapReached(why)
            settled = asyncio.get_running_loop().create_future()
            self._waiting.append(settled)
            await settled
        self.reserved = self.reserved + worst
        return worst

    def reserve_now(self, worst: Amount) -> bool:
        """``reserve`` for requests that are submitted together: False if it fits only after others have settled.

        Raises:
            CapReached: if it cannot fit even then.
        """
        if (why := self._exceeded(self.spent + self.reserved + worst)) is None:
            self.commit(worst)
            return True
        if self.reserved.calls == 0 or self._exceeded(self.spent + worst) is not None:
            self.refused, self.why_refused = self.refused + 1, why
            raise CapReached(why)
        return False

    def commit(self, worst: Amount) -> Amount:
        """Reserves ``worst`` whatever the caps: an earlier process has sent the request."""
        self.reserved = self.reserved + worst
        return worst

    def settle(self, reservation: Amount, usage: Usage | None) -> None:
        """Replaces the reservation with the actual cost of the attempt; ``None`` if unknown: the reservation counts."""
        if usage is None:
            cost = reservation
        else:
            money = 0 if self.price is None else self.price.cost(usage)
            cost = Amount(money, usage.input_tokens + usage.output_tokens, 1)
        self.spent = self.spent + cost
        self.release(reservation)

    def release(self, reservation: Amount) -> None:
        """Takes a reservation back without any cost."""
        self.reserved = self.reserved - reservation
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def estimate(self, sent: Sequence[tuple[int, int]], shots: Sequence[int | None], calls: int) -> CostEstimate:
        """What ``calls`` calls like those of a sample may cost, and what is left under each cap.

        Args:
            sent: (tokens of the request, most tokens of its reply) of each call of the sample.
            shots: tokens of each call's few-shot replies, by which its own reply is guessed; None where it has none.
        """
        scale, price, caps, spent = calls / max(1, len(sent)), self.price, self.caps, self.spent
        usd = None if price is None else sum(price.at_most(i, o) for i, o in sent) * scale / PICO
        usd_likely = written = None
        lengths = [s for s in shots if s is not None]
        if len(lengths) == len(shots):
            replies = [min(o, 3 * s // 2) for (_, o), s in zip(sent, lengths, strict=True)]
            written = round(sum(replies) * scale)
            if price is not None:
                usd_likely = sum(price.cost(Usage(i, o)) for (i, _), o in zip(sent, replies, strict=True)) * scale / PICO
        return CostEstimate(
            calls=round(len(sent) * scale),
            input_tokens=round(sum(i for i, _ in sent) * scale),
            output_tokens_at_most=round(sum(o for _, o in sent) * scale),
            usd=usd,
            price_date=price.date if price else "",
            price_source=price.source if price else "",
            usd_likely=usd_likely,
            cap_usd=None if caps.usd is None else max(0.0, caps.usd - spent.picodollars / PICO),
            output_tokens_likely=written,
            cap_tokens=None if caps.tokens is None else max(0, caps.tokens - spent.tokens),
            cap_calls=None if caps.calls is None else max(0, caps.calls - spent.calls),
        )

    def _exceeded(self, total: Amount) -> str | None:
        caps = self.caps
        if caps.usd is not None and total.picodollars > int(caps.usd * PICO):
            return f"cap_usd: {dollars(self.spent.picodollars)} of ${caps.usd:g} spent, and the next call could exceed it"
        if caps.tokens is not None and total.tokens > caps.tokens:
            return f"cap_tokens: {self.spent.tokens:,} of {caps.tokens:,} tokens used, and the next call could exceed it"
        if caps.calls is not None and total.calls > caps.calls:
            return f"cap_calls: all {caps.calls:,} calls used"
        return None

    def state(self) -> dict[str, int]:
        """For a run folder; ``restore`` takes it back, so that a cap holds over a resumed run."""
        return {"picodollars": self.spent.picodollars, "tokens": self.spent.tokens, "calls": self.spent.calls}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.spent = Amount(*(int(state[k]) for k in ("picodollars", "tokens", "calls")))


@dataclass(frozen=True)
class CostEstimate:
    """A cost estimate before a run starts. Tokens are estimated from text length."""

    calls: int
    input_tokens: int
    output_tokens_at_most: int
    usd: float | None
    """Upper bound: every reply of maximum length, nothing cached. None if the price is unknown."""
    price_date: str
    """Date of the price table; empty for a price from the config."""
    usd_likely: float | None = None
    """Likely cost: replies 1.5 times as long as those in the few-shots; None without few-shots or a price."""
    cap_usd: float | None = None
    """What is left of the cap in dollars."""
    output_tokens_likely: int | None = None
    cap_tokens: int | None = None
    cap_calls: int | None = None
    price_source: str = ""
    """Where the table's figures are from."""

    @property
    def above_cap(self) -> str:
        """The cap that the likely cost exceeds; empty for none. Without few-shots, the upper bound counts."""
        usd = self.usd if self.usd_likely is None else self.usd_likely
        if self.cap_usd is not None and usd is not None and usd > self.cap_usd:
            return f"about {dollars(round(usd * PICO))} where {dollars(round(self.cap_usd * PICO))} is left under cap_usd"
        out = self.output_tokens_at_most if self.output_tokens_likely is None else self.output_tokens_likely
        if self.cap_tokens is not None and (tokens := self.input_tokens + out) > self.cap_tokens:
            return f"about {tokens:,} tokens where {self.cap_tokens:,} are left under cap_tokens"
        if self.cap_calls is not None and self.calls > self.cap_calls:
            return f"{self.calls:,} calls where {self.cap_calls:,} are left under cap_calls"
        return ""

    def __str__(self) -> str:
        money = "price unknown" if self.usd is None else f"at most about {dollars(round(self.usd * PICO))}"
        if self.usd_likely is not None:
            money = f"perhaps {dollars(round(self.usd_likely * PICO))}, {money}"
        dated = f", prices of {self.price_date}" if self.price_date else ""
        dated += f" ({self.price_source})" if self.price_date and self.price_source else ""
        capped = ""
        if self.usd is not None and self.cap_usd is not None and self.usd > self.cap_usd:
            likely = self.usd_likely is not None and self.usd_likely > self.cap_usd
            capped = f"; the cap of ${self.cap_usd:g} {'will probably' if likely else 'may'} be reached before the end"
        return (
            f"{self.calls:,} calls, about {self.input_tokens:,} tokens in, at most {self.output_tokens_at_most:,} "
            f"out: {money}{dated}{capped}"
        )
