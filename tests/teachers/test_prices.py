"""The price table: every model that the SDKs list, what is not known, the date, and a user's own figures."""

import json
import re
from typing import get_args

import pytest
from anthropic.types.model_param import ModelParam
from openai.types.shared.chat_model import ChatModel

from tests.support.fake_server import Server
from tests.teachers.test_faults import remote
from thinklab.errors import ConfigError
from thinklab.teachers import load_teacher
from thinklab.teachers.prices import PICO, SHIPPED, facts, price_from_config
from thinklab.types import Usage

LISTED = (*get_args(get_args(ModelParam)[0]), *get_args(ChatModel))
TABLE = json.loads(SHIPPED.read_text("utf-8"))


def test_every_model_that_the_sdks_list_has_a_price_or_is_named_as_unknown():
    assert len(LISTED) > 90 and "claude-haiku-5-5" in LISTED and "gpt-5-mini" in LISTED
    without = {name for name in LISTED if facts(name).price is None}
    assert without == set(TABLE["unknown"]) and len(without) < len(LISTED) / 3
    assert not without & set(TABLE["models"])


def test_the_table_is_dated_by_its_month_and_every_row_reads():
    assert re.fullmatch(r"prices-20\d\d-\d\d\.json", SHIPPED.name) and TABLE["date"].startswith(SHIPPED.stem[7:])
    assert "not checked against the service" in TABLE["source"]
    for name in TABLE["models"]:
        price = facts(name).price
        assert price is not None and 0 < price.input < price.output and price.date == TABLE["date"]
        assert price.in_batch().input in (price.input, price.input / 2) and price.in_batch().cost(Usage(1000, 100)) > 0


def test_a_successor_is_not_priced_as_a_dated_name_of_its_predecessor():
    assert facts("claude-fable-5").price is not None and facts("claude-fable-5-2").price is None
    assert facts("gpt-5").price == facts("gpt-5-2025-08-07").price and facts("gpt-5-2").price is None
    assert facts("gpt-4o-2024-05-13").price.input == 2 * facts("gpt-4o").price.input  # a dated name with a price of its own
    assert facts("vertex_ai/claude-haiku-4-5@20251001").price == facts("vertex_ai/claude-haiku-4-5").price


def test_a_batch_costs_half_where_the_table_says_so_and_the_full_price_otherwise():
    haiku = facts("claude-haiku-5-5").price
    for usage in (Usage(1000, 500), Usage(200_000, 10), Usage(1000, 0, 400, 600)):  # also long, and from the cache
        assert haiku.in_batch().cost(usage) * 2 == haiku.cost(usage)
    assert facts("claude-mythos-preview").price.in_batch() == facts("claude-mythos-preview").price
    assert facts("gpt-4o").price.in_batch().cache_read == facts("gpt-4o").price.input // 2  # no batch price for cached tokens
    assert price_from_config({"input": 2, "output": 4, "batch": 0.25}).in_batch().cost(Usage(10**6, 10**6)) == PICO * 3 // 2
    own = price_from_config({"input": 2, "output": 4, "batch": {"input": 1.5, "output": 3}})
    assert own.in_batch().cost(Usage(10**6, 0)) == PICO * 3 // 2
    for batch in (2, -1, True, "half"):
        with pytest.raises(ConfigError, match="batch must be a share of the price"):
            price_from_config({"input": 2, "output": 4, "batch": batch})


def test_a_table_of_ones_own_counts_before_the_shipped_one(tmp_path, monkeypatch, ask):
    mine, theirs = tmp_path / "mine.yaml", tmp_path / "theirs.json"
    mine.write_text("date: 2027-01-05\nmodels:\n  claude-haiku-5-5: {input: 7, output: 8}\n  my-model: {input: 1, output: 2}\n")
    theirs.write_text(json.dumps({"date": "2026-12-01", "models": {"claude-haiku-5-5": {"input": 3, "output": 4}}}))
    monkeypatch.setenv("THINKLAB_PRICES", str(theirs))
    assert facts("claude-haiku-5-5").price.input == 3_000_000 and facts("claude-haiku-4-5").price.date == TABLE["date"]
    assert facts("claude-haiku-5-5", str(mine)).price.date == "2027-01-05" and facts("my-model").price is None
    with Server() as server:
        teacher = remote("anthropic", server, prices=str(mine), cap_usd=1)
        said = str(teacher.estimate(ask(3)))
        teacher.reply(ask(3))
    used = teacher.used
    assert "prices of 2027-01-05" in said and teacher.totals()["usd"] == pytest.approx(
        (used.input_tokens * 7 + used.output_tokens * 8) / 1e6
    )


def test_the_estimate_names_the_date_and_where_the_prices_are_from(ask):
    said = str(load_teacher("anthropic", cache=False).estimate(ask(2)))
    assert f"prices of {TABLE['date']} ({TABLE['source']})" in said


def test_a_cap_in_dollars_without_a_known_price_needs_one(ask):
    with pytest.raises(ConfigError, match=r"price: \{input"):
        load_teacher("anthropic", model="claude-fable-5-2", cap_usd=1, cache=False)
    load_teacher("anthropic", model="claude-fable-5-2", cap_usd=1, cache=False, price={"input": 1, "output": 2})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("models: {a: {input: 1, output: 2}}", "needs the keys date and models"),
        ("date: 2027-01-01\nmodels: [a]", "needs the keys date and models"),
        ("date: 2027-01-01\nmodels: {m: 3}", "expected rates such as"),
        ("date: 2027-01-01\nmodels: {m: {input: 1, outputs: 2}}", "unknown entry 'outputs', did you mean 'output'"),
        ("date: [", "cannot be read"),
    ],
)
def test_a_bad_table_is_one_line(tmp_path, text, said):
    path = tmp_path / "prices.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_teacher("anthropic", model="m", prices=str(path), cache=False)
    assert said.split(",")[0] in str(caught.value) and "\n" not in str(caught.value)
