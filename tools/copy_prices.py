"""Write this month's price table of the network teachers from the one that the package litellm ships.

python tools/copy_prices.py model_prices_and_context_window_backup.json --version 1.110.2 --date 2026-11-28

The models are those that the installed SDKs list, Claude at its three clouds, and Gemini. A model without a price in the
source is written under ``unknown``: its price is never guessed.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from anthropic.types.model_param import ModelParam
from openai.types.shared.chat_model import ChatModel

FOLDER = Path(__file__).parents[1] / "thinklab" / "teachers"
RATES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
}
DATED = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d|default)$")
ORDER = ("input", "output", "cache_read", "cache_write", "batch", "long", "cache_from", "thinking_off")
ABOUT = [
    "What a model costs, in US dollars per million tokens, and what it can do. Written by tools/copy_prices.py.",
    "A figure here is a copy of a copy that ages: compare it with the service's own price page before a long run.",
    "To override it: teacher.price, or a file of this form (JSON or YAML) in teacher.prices or THINKLAB_PRICES.",
    "cache_read, cache_write: the service's prompt cache (5 minutes); the input price where left out.",
    "long: the price of a whole call whose prompt has more than 'above' tokens.",
    "batch: the price in a batch, as a share of all prices or as its own; the full price where left out.",
    "cache_from: the shortest prefix in tokens that the service caches.",
    "thinking_off: the model thinks unless told not to, and can be told.",
    "unknown: what the SDKs list and the source has no price for; a cap in dollars then needs teacher.price.",
]


def names() -> tuple[list[str], list[str]]:
    """The models that the two SDKs list."""
    return list(get_args(get_args(ModelParam)[0])), list(get_args(ChatModel))


def per_million(value: float) -> float | int:
    found = round(value * 1e6, 6)
    return int(found) if found == int(found) else found


def row_of(source: Mapping[str, Any]) -> dict[str, Any] | None:
    """One model's line; None without a price for text."""
    row: dict[str, Any] = {k: per_million(source[name]) for k, name in RATES.items() if source.get(name) is not None}
    if "input" not in row or "output" not in row:
        return None
    above = sorted({int(m[1]) for k in source if (m := re.fullmatch(r"input_cost_per_token_above_(\d+)k_tokens", k))})
    for limit in above[:1]:
        more = {k: source.get(f"{name}_above_{limit}k_tokens") for k, name in RATES.items()}
        row["long"] = {"above": limit * 1000, **{k: per_million(v) for k, v in more.items() if v is not None}}
    batch = {k: per_million(v) for k, name in RATES.items() if (v := source.get(f"{name}_batches")) is not None}
    if (
        batch
        and not ("long" in row and set(batch) != set(row) & set(RATES))
        and all(abs(v - row[k] / 2) < 1e-9 for k, v in batch.items())
    ):
        row["batch"] = 0.5 if set(batch) == set(row) & set(RATES) else {k: batch[k] for k in ("input", "output") if k in batch}
    if source.get("prompt_cache_min_tokens") and source.get("litellm_provider") == "anthropic":
        row["cache_from"] = source["prompt_cache_min_tokens"]
    if source.get("thinking_on_by_default") and source.get("thinking_always_on") is False:
        row["thinking_off"] = True
    return {k: row[k] for k in ORDER if k in row}


def wanted(table: Mapping[str, Any], claude: list[str], gpt: list[str]) -> Iterator[str]:
    yield from claude
    yield from gpt
    for name in sorted(table):
        provider = table[name].get("litellm_provider") or ""
        base = re.sub(r"-v\d+(:\d+)?$", "", name.rpartition("/")[2].rpartition("anthropic.")[2])
        at_a_cloud = provider == "bedrock_converse" and "/" not in name
        at_a_cloud |= name.startswith(("vertex_ai/claude-", "azure_ai/claude-"))
        if at_a_cloud and DATED.sub("", base) in claude:
            yield name
        if re.fullmatch(r"gemini/gemini-[\d.]+-(?!.*(tts|computer))[\w.-]+", name) and table[name].get("mode") == "chat":
            yield name


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("table", type=Path, help="litellm's model_prices_and_context_window_backup.json")
    args.add_argument("--version", required=True, help="of litellm")
    args.add_argument("--date", required=True, help="today, such as 2026-11-28")
    given = args.parse_args()
    table = json.loads(given.table.read_text("utf-8"))
    rows: dict[str, dict[str, Any]] = {}
    unknown: list[str] = []
    for name in dict.fromkeys(wanted(table, *names())):
        row = row_of(table.get(name, {}))
        if row is not None:
            rows[name] = row
        elif name in names()[0] + names()[1]:
            unknown.append(name)
    rows = {n: r for n, r in rows.items() if n == DATED.sub("", n) or r != rows.get(DATED.sub("", n))}
    head = {
        "about": ABOUT,
        "date": given.date,
        "source": f"the table in litellm {given.version}, not checked against the service",
        "unknown": unknown,
    }
    lines = ",\n".join(f"  {json.dumps(n)}: {json.dumps(r)}" for n, r in rows.items())
    text = json.dumps(head, indent=1)[:-2] + f',\n "models": {{\n{lines}\n }}\n}}\n'
    path = FOLDER / f"prices-{given.date[:7]}.json"
    path.write_text(text, "utf-8")
    print(f"{path}: {len(rows)} models, {len(unknown)} without a price")


if __name__ == "__main__":
    main()
