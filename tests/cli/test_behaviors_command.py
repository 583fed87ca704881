"""The commands `thinklab behaviors ...`."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from typer.testing import CliRunner

from thinklab.behavior.behavior import list_behaviors, load_behavior
from thinklab.behavior.preview import estimate_tokens
from thinklab.behavior.scaffold import new_file, schema
from thinklab.cli.behaviors import app
from thinklab.config.shipped import resource_dir
from thinklab.errors import BehaviorError
from thinklab.teachers.anthropic import DEFAULT_MODEL

runner = CliRunner()


def run(*words, code: int = 0):
    result = runner.invoke(app, list(map(str, words)))
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_list():
    assert all(name in run("list").output for name in list_behaviors())
    rows = json.loads(run("list", "--format", "json").output)
    assert [row["name"] for row in rows] == list_behaviors() and rows[0]["hash"] == load_behavior(rows[0]["name"]).hash


def test_show():
    output = run("show", "thalapathy-vijay").output
    assert "Ends with a line by Thalapathy Vijay" in output and "+0.5 when it occurs exactly 1x" in output
    assert load_behavior("thalapathy-vijay").hash in output
    assert "did you mean 'self-check'" in run("show", "self-chek", code=2).output
    shown = json.loads(run("show", "cognitive-mix", "--format", "json").output)
    assert shown["hash"] == load_behavior("cognitive-mix").hash and len(shown["detector"]["any"]) == 4 and shown["tests"]["texts"]


def test_new_lint_test_show_preview(tmp_path):
    path = tmp_path / "sub" / "my-own.yaml"
    assert str(path) in run("new", "my-own", "--in", path.parent).output
    assert "1 checked: 0 errors, 0 warnings" in run("lint", path).output
    assert "my-own: 13 ok" in run("test", path).output
    assert "In short:" in run("preview", path).output
    assert "exists already" in run("new", "my-own", "--in", path.parent, code=2).output
    for comment in ("placement: end ", "fields: [phrase] ", "count: 1 "):
        assert any(line.strip().startswith(comment) and "#" in line for line in path.read_text().splitlines())


def test_names_that_cannot_be():
    for name, better in (("My Idea", "my-idea"), ("../x", "x"), ("a--b", "a-b"), ("x" * 61, "x" * 60)):
        with pytest.raises(BehaviorError, match=repr(better)):
            new_file(name, None)


@settings(max_examples=25, deadline=None)
@given(
    name=st.from_regex(r"[a-z0-9]{1,6}(-[a-z0-9]{1,6}){0,2}", fullmatch=True)
    | st.sampled_from(["no", "on", "1e5", "007", "null"])
)
def test_any_name_makes_a_file_that_passes(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("new")
    path = new_file(name, folder)
    assert "0 errors, 0 warnings" in run("lint", path).output
    assert f"{name}: 13 ok" in run("test", path).output
    assert load_behavior(path).name == name


def test_lint_in_both_formats(tmp_path):
    bad, worse = tmp_path / "bad.yaml", tmp_path / "worse.yaml"
    bad.write_text("name: bad\nextends: self-check\ntitel: x\n", encoding="utf-8")
    worse.write_text("name: [", encoding="utf-8")
    output = run("lint", bad, worse, "self-check", "nobody", code=1).output
    assert f"{bad}:3:1: error: unknown key 'titel' (did you mean 'title'?)" in output
    assert "4 checked: 3 errors, 0 warnings" in output
    found = json.loads(run("lint", "--format", "json", bad, code=1).output)
    assert [(f["level"], f["file"], f["line"], f["column"]) for f in found] == [("error", str(bad), 3, 1)]
    assert json.loads(run("lint", "--format", "json", "self-check").output) == []


def test_failing_tests_say_why(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nextends: self-check\ntests:\n  texts: [{text: nothing, shows: true, because: I say so}]\n"
        '  prompts: [{question: q, response: r, contains: [zebra], lacks: ["I check"]}]\n',
        encoding="utf-8",
    )
    output = run("test", path, code=1).output
    for part in (
        "FAILED   text 1 shows it: nothing",
        "does not occur",
        "expected because: I say so",
        "the prompt does not contain 'zebra'",
        "the prompt contains 'I check'",
        "mine: 4 ok, 2 failed",
    ):
        assert part in output
    report = json.loads(run("test", "--format", "json", path, "self-check", code=1).output)
    assert [len(r["failed"]) for r in report] == [2, 0] and report[1]["passed"] == 18
    assert "text 1 shows it" in run("test", "-v", "self-check").output


def test_a_judge_is_not_run(tmp_path):
    path = tmp_path / "judged.yaml"
    path.write_text(
        "name: judged\nextends: self-check\ndetector: {judge: Does it check?}\ntests: {texts: [{text: x, shows: true}]}\n",
        encoding="utf-8",
    )
    output = run("test", path).output
    assert "not run" in output and "with_judge" in output and "judged: 4 ok, 1 not run" in output


def test_preview_shows_all_and_counts():
    made = json.loads(
        run(
            "preview",
            "self-check",
            "--question",
            "Q?",
            "--response",
            "R.",
            "--calls",
            "10",
            "--price-in",
            "1",
            "--price-out",
            "5",
            "--format",
            "json",
        ).output
    )
    assert made["messages"] == load_behavior("self-check").messages("Q?", "R.")
    expected = 10 * (made["input_tokens"] + 5 * made["output_tokens"]) / 1e6
    assert made["cost"].startswith(f"${expected:,.4f}")
    assert 500 < made["input_tokens"] < 1500 and 20 < made["output_tokens"] < 200
    output = run("preview", "self-check").output
    assert "--- system" in output and "Response:" in output and f"with {DEFAULT_MODEL} (prices of 20" in output


def test_preview_takes_prices_from_the_table():
    made = run("preview", "self-check", "--model", "claude-haiku-4-5", "--calls", "1000").output
    assert "$" in made and "claude-haiku-4-5 (prices of 20" in made
    assert "no price is known for 'nobody-knows-it'" in run("preview", "self-check", "--model", "nobody-knows-it").output


def test_preview_wants_both_of_a_pair():
    assert "give both" in run("preview", "self-check", "--question", "Q?", code=2).output
    assert "give both" in run("preview", "self-check", "--price-in", "1", code=2).output


def test_token_estimate_grows_with_the_text():
    assert estimate_tokens("") == 0 and estimate_tokens("Hello there.") <= estimate_tokens("Hello there. And more.")
    assert 90 <= estimate_tokens("the quick brown fox " * 25) <= 130
    assert estimate_tokens("உதவி " * 50) > 150


def test_schema_is_not_stale():
    """After a wanted change: python -m thinklab.behavior.scaffold > behaviors/schema.json"""
    assert (resource_dir("behaviors") / "schema.json").read_text(encoding="utf-8") == schema() == run("schema").output


def test_schema_accepts_what_the_loader_accepts(tmp_path):
    validator = jsonschema.Draft202012Validator(json.loads(schema()))
    paths = [*resource_dir("behaviors").glob("*.yaml"), new_file("fresh", tmp_path)]
    for path in paths:
        assert list(validator.iter_errors(YAML(typ="safe").load(path))) == [], path.name
    assert not list(validator.iter_errors({"name": "x", "extends": "self-check", "teacher": {"system": "s"}}))
    for bad in (
        {"name": "x"},
        {"name": "x", "extends": "y", "titel": "z"},
        {"name": "x", "extends": "y", "version": "1"},
        {"name": "x", "extends": "y", "detector": {"phrase": "a", "cuont": 1}},
    ):
        assert list(validator.iter_errors(bad)), bad
