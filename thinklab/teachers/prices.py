"""``Price``: what a model's tokens cost: the dated table ``prices-*.json``, a table of your own, or the config.

Money is counted in whole picodollars (1e-12 USD), so sums are exact and rounding never exceeds a cap.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thinklab.errors import ConfigError, did_you_mean
from thinklab.types import Usage

PICO = 10**12
SHIPPED = max(Path(__file__).parent.glob("prices-*.json"))
VARIABLE = "THINKLAB_PRICES"
"""Environment variable with the path of a table whose models count before the shipped ones."""
RATES = ("input", "output", "cache_read", "cache_write")
_DATE = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d|default)$")


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
    batch: Price | None = None
    """In a batch; None: not known, so the full price counts."""
    source: str = ""
    """Where the table's figures are from."""

    def in_batch(self) -> Price:
        """The price of calls in a batch."""
        return self.batch or self

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


@dataclass(frozen=True)
class _Table:
    name: str
    date: str
    source: str
    models: Mapping[str, Any]
    unknown: tuple[str, ...]
    """Models that the table names without a price."""


@lru_cache
def _table(path: Path, changed: float) -> _Table:
    """The table in ``path``, read again when the file has ``changed``."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else YAML(typ="safe").load(text)  # JSON reads a hundred times faster
    except (OSError, UnicodeDecodeError, ValueError, YAMLError) as error:
        raise ConfigError(f"the price table {path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(data, dict) or not isinstance(data.get("models"), dict) or not data.get("date"):
        raise ConfigError(f"the price table {path} needs the keys date and models; {SHIPPED} is an example")
    for name, row in data["models"].items():
        if not isinstance(row, Mapping):
            raise ConfigError(f"{path}, {name}: expected rates such as {{input: 1.0, output: 5.0}}, not {row!r}")
    return _Table(path.name, str(data["date"]), str(data.get("source", path)), data["models"], tuple(data.get("unknown") or ()))


def tables(prices: str | None = None) -> list[_Table]:
    """The price tables, the one that counts first: ``prices``, the one in THINKLAB_PRICES, the shipped one.

    Raises:
        ConfigError: if one of them cannot be read.
    """
    own = [Path(path).expanduser() for path in (prices, os.environ.get(VARIABLE)) if path]
    return [_table(path, path.stat().st_mtime if path.exists() else 0.0) for path in (*own, SHIPPED)]


def facts(model: str, prices: str | None = None) -> ModelFacts:
    """The entry for ``model``; a dated name such as ``claude-haiku-4-5-20251001`` without its own uses its alias.

    Args:
        prices: path of a table that counts before the others.

    Raises:
        ConfigError: if a table cannot be read, or the entry is not valid.
    """
    for table in tables(prices):
        if model in table.unknown:
            return ModelFacts()
        name = model if model in table.models else _DATE.sub("", model)
        if (row := table.models.get(name)) is not None:
            price = price_of(row, f"{table.name}, {name}", table.date, table.source)
            return ModelFacts(price, row.get("cache_from"), bool(row.get("thinking_off")))
    return ModelFacts()


def price_from_config(given: Mapping[str, Any]) -> Price:
    """A price from a config: ``{input: 1.0, output: 5.0}``, in dollars per million tokens; ``batch: 0.5`` for batches.

    Raises:
        ConfigError: for a missing, unknown or negative rate.
    """
    return price_of(given, "price", "", "")


def price_of(row: Mapping[str, Any], where: str, date: str, source: str) -> Price:
    """The price in one row of a table.

    Args:
        where: what an error names. date, source: of the table.

    Raises:
        ConfigError: for a missing, unknown or negative rate.
    """
    allowed = (*RATES, "long", "above", "batch", "cache_from", "thinking_off")
    for key in row:
        if key not in allowed:
            raise ConfigError(
                f"{where}: unknown entry {key!r}{did_you_mean(key, RATES)}; it takes {', '.join(RATES)}, long, and batch"
            )
    rates: dict[str, int] = {}
    for key in RATES:
        value = row.get(key, row.get("input") if key.startswith("cache") else None)
        if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value < 1e6):
            raise ConfigError(f"{where}: {key} must be dollars per million tokens, 0 or more, not {value!r}")
        rates[key] = math.ceil(value * 10**6 - 1e-6)  # up, where a rate is finer than a picodollar per token
    found = Price(rates["input"], rates["output"], rates["cache_read"], rates["cache_write"], date=date, source=source)
    if longer := row.get("long"):
        if not isinstance(longer, Mapping) or type(longer.get("above")) is not int:
            raise ConfigError(f"{where}: long must contain rates and above (a number of tokens), not {longer!r}")
        inner = {k: v for k, v in longer.items() if k != "above"}
        found = replace(found, above=int(longer["above"]), long=price_of(inner, f"{where}, long", date, source))
    if (batch := row.get("batch")) is not None:
        found = replace(found, batch=_batch(found, batch, where))
    return found


def _batch(price: Price, batch: Any, where: str) -> Price:
    if isinstance(batch, Mapping):
        return price_of(batch, f"{where}, batch", price.date, price.source)
    if isinstance(batch, bool) or not isinstance(batch, int | float) or not (0 <= batch <= 1):
        raise ConfigError(f"{where}: batch must be a share of the price from 0 to 1, or rates of its own, not {batch!r}")
    rates = {key: math.ceil(getattr(price, key) * batch - 1e-6) for key in RATES}
    longer = price.long and _batch(price.long, batch, where)
    return replace(
        price,
        input=rates["input"],
        output=rates["output"],
        cache_read=rates["cache_read"],
        cache_write=rates["cache_write"],
        long=longer,
    )


def dollars(picodollars: int) -> str:
    """``$0.0123``: two digits that count below a cent, cents above a dollar."""
    value = picodollars / PICO
    if value == 0:
        return "$0"
    return f"${value:.2f}" if value >= 1 else f"${value:.{max(2, 1 - math.floor(math.log10(value)))}f}"
