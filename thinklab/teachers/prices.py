"""Token prices. The table is ``prices.yaml`` in this folder: a dated copy that can be overridden.

Money is counted in whole picodollars (1e-12 USD), so sums are exact and rounding never exceeds a cap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from thinklab.errors import ConfigError, did_you_mean
from thinklab.types import Usage

PICO = 10**12
TABLE = Path(__file__).with_name("prices.yaml")
RATES = ("input", "output", "cache_read", "cache_write")


@dataclass(frozen=True)
class Price:
    """Picodollars per token. (A dollar per million tokens is a million picodollars per token.)"""

    input: int
    output: int
    cache_read: int
    cache_write: int
    date: str = ""
    """Date of the price table; empty for a price from the config."""
    above: int = 0
    """Prompts with more tokens than this cost ``long``; 0 = never."""
    long: Price | None = None

    def cost(self, usage: Usage) -> int:
        """Picodollars for one call."""
        if self.long is not None and self.above and usage.input_tokens > self.above:
            return replace(self.long, above=0).cost(usage)
        plain = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
        return (
            plain * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_tokens * self.cache_read
            + usage.cache_write_tokens * self.cache_write
        )

    def at_most(self, input_tokens: int, output_tokens: int) -> int:
        """The maximum picodollars of a call with these tokens, regardless of the prompt cache."""
        worst = max(self.input, self.cache_read, self.cache_write) * input_tokens + self.output * output_tokens
        return (
            worst
            if self.long is None
            else max(worst, self.long.at_most(input_tokens, output_tokens) if input_tokens > self.above else 0)
        )


@dataclass(frozen=True)
class ModelFacts:
    """One model's entry in the table."""

    price: Price | None = None
    cache_from: int | None = None
    """Shortest prefix in tokens that the service caches; None if the table does not say."""
    thinking_off: bool = False


@lru_cache
def _table() -> Mapping[str, Any]:
    return YAML(typ="safe").load(TABLE.read_text(encoding="utf-8"))


def facts(model: str) -> ModelFacts:
    """The entry for ``model``; a dated name such as ``claude-haiku-4-5-20251001`` uses its alias."""
    table = _table()
    known = table["models"]
    name = model if model in known else next((n for n in known if model.startswith(f"{n}-2")), None)
    if name is None:
        return ModelFacts()
    row = known[name]
    return ModelFacts(
        _price(row, f"{TABLE.name}, {name}", str(table["date"])), row.get("cache_from"), bool(row.get("thinking_off"))
    )


def price_from_config(given: Mapping[str, Any]) -> Price:
    """A price from a config: ``{input: 1.0, output: 5.0}``, in dollars per million tokens.

    Raises:
        ConfigError: for a missing, unknown or negative rate.
    """
    return _price(given, "price", "")


def _price(row: Mapping[str, Any], where: str, date: str) -> Price:
    allowed = (*RATES, "long", "above", "cache_from", "thinking_off")
    for key in row:
        if key not in allowed:
            raise ConfigError(f"{where}: unknown entry {key!r}{did_you_mean(key, RATES)}; it takes {', '.join(RATES)} and long")
    rates: dict[str, int] = {}
    for key in RATES:
        value = row.get(key, row.get("input") if key.startswith("cache") else None)
        if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value < 1e6):
            raise ConfigError(f"{where}: {key} must be dollars per million tokens, 0 or more, not {value!r}")
        rates[key] = math.ceil(value * 10**6 - 1e-6)  # up, where a rate is finer than a picodollar per token
    if not (longer := row.get("long")):
        return Price(rates["input"], rates["output"], rates["cache_read"], rates["cache_write"], date)
    if not isinstance(longer, Mapping) or type(longer.get("above")) is not int:
        raise ConfigError(f"{where}: long must contain rates and above (a number of tokens), not {longer!r}")
    inner = {k: v for k, v in longer.items() if k != "above"}
    return Price(**rates, date=date, above=int(longer["above"]), long=_price(inner, f"{where}, long", date))


def dollars(picodollars: int) -> str:
    """``$0.0123``: two digits that count below a cent, cents above a dollar."""
    value = picodollars / PICO
    if value == 0:
        return "$0"
    return f"${value:.2f}" if value >= 1 else f"${value:.{max(2, 1 - math.floor(math.log10(value)))}f}"
