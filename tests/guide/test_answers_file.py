import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.fake_server import KEY, Server
from thinklab.behavior.behavior import load_behavior
from thinklab.cli.guide import app, parse_options
from thinklab.errors import ConfigError
from thinklab.guide.answers_file import Tally, guide_answers, read_answers
from thinklab.teachers import load_teacher

ROWS = [
    {"question": "12+7?", "response": "A: 18", "reference": "12+7=19\nA: 19", "is_correct": False},
    {"question": "2+2?", "response": "So \\boxed{4}.", "gold": "4", "id": "mine"},
    {"question": "1+1?", "response": "two"},
    {"question": "5+5?", "response": "11", "gold": "10", "extra": 3},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)) + "\n")
    return path


def run(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def test_answers_are_read_with_what_is_known_about_them(file):
    answers = read_answers(file)
    assert [a.correct for a in answers] == [False, True, None, False]
    assert [a.example.gold for a in answers] == ["19", "4", "", "10"]
    assert [a.example.id for a in answers] == ["answers-1", "mine", "answers-3", "answers-4"]
    assert answers[3].example.meta == {"extra": 3} and len(read_answers(file, 2)) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("{}", "a.jsonl:1: expected the texts"),
        ("[]", "a.jsonl:1: expected an object"),
        ('{"question": "q", "response": "r"}\n{"question": ', "a.jsonl:2:"),
    ],
)
def test_a_bad_line_is_named(tmp_path, content, said):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_answers(tmp_path / "a.jsonl")
    assert said in str(caught.value)


def test_scripted_guidance_of_a_file(file, tmp_path):
    out = tmp_path / "deep" / "out.jsonl"
    result = run(file, "--behavior", "thalapathy-vijay", "--teacher", "scripted", "-o", "rule=hit-hard", "--out", out)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["answers-1", "mine", "answers-3", "answers-4"]
    assert all(line["text"].startswith(line["response"]) and line["text"].endswith("hit hard.") for line in lines)
    assert [line["guidance"]["verdict"] for line in lines] == [False, True, False, False]
    assert lines[0]["guidance"]["behavior_hash"] == load_behavior("thalapathy-vijay").hash
    assert "opinion right: 3 of 3 (100.0%)" in result.output and "4 of 4 answers asked about, 4 usable" in result.output
    again = run(file, "--behavior", "thalapathy-vijay", "--teacher", "scripted", "-o", "rule=hit-hard", "--out", out)
    assert isinstance(again.exception, ConfigError) and "exists already" in str(again.exception)
    replayed = load_teacher("replay", run=out)
    behavior, tally = load_behavior("thalapathy-vijay"), Tally()
    second = list(guide_answers(read_answers(file), behavior, replayed, tally))
    assert [(s["text"], s["guidance"]["raw"]) for s in second] == [(s["text"], s["guidance"]["raw"]) for s in lines]
    assert tally.opinion_accuracy == 1


def test_the_real_sdk_with_faults_and_a_dry_run_that_asks_nobody(file):
    boxed = [{**row, "response": f"\\boxed{{{n}}}"} for n, row in enumerate(ROWS)]  # this behavior follows a box
    file.write_text("\n".join(map(json.dumps, boxed)) + "\n")
    text = "<opinion>correct</opinion><reason>I check: 12+7=19.</reason><phrase>So \\boxed{19}.</phrase>"
    bad = {0: "500", 1: "refusal", 2: "wrong-tags"}
    with Server(lambda number, body: bad.get(number, "ok"), text=lambda body: text) as server:
        base = (
            file,
            "--behavior",
            "self-check",
            "--teacher",
            "anthropic",
            "-o",
            f"base_url={server.url}",
            "-o",
            "first_wait_s=0",
            "-o",
            "concurrency=1",
        )
        dry = run(*base, "--dry-run")
        assert dry.exit_code == 0 and "at most about $" in dry.output and not server.calls
        result = run(*base)
        assert result.exit_code == 0, result.output
        calls = len(server.calls)
        second = run(*base)
    assert calls == 5 and len(server.calls) == 5  # the second run comes from the cache
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert sorted(line["guidance"]["reason"] for line in lines) == ["", "", "missing-tag", "refusal"]
    refused = next(line for line in lines if line["guidance"]["reason"] == "refusal")
    assert refused["text"] == refused["response"] and refused["guidance"]["status"] == "rejected"
    assert "refusal, 1 times: declined" in result.output and "failed attempts: server 1" in result.output
    assert "answers is" not in result.output and "+ I check: 12+7=19." in result.output
    assert "2 of 4 rejected (50%)" in result.output and "teacher: $0.0" in result.output and "3 already known" in second.output
    assert KEY not in result.output + second.output + dry.output


def test_on_the_command_line_an_error_is_one_line_and_the_key_is_not_in_it(file):
    command = [
        sys.executable,
        "-m",
        "thinklab.cli.guide",
        str(file),
        "--behavior",
        "self-check",
        "--teacher",
        "anthropic",
    ]
    with Server() as server:
        done = subprocess.run(
            [*command, "-o", f"base_url={server.url}"],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "ANTHROPIC_API_KEY": "sk-ant-wrong-00001111"},
        )
    assert done.returncode == 1 and not server.calls and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: the anthropic teacher") and "the key was rejected" in done.stderr
    assert "Traceback" not in done.stderr and "00001111" not in done.stderr
    refused = run(file, "--behavior", "self-check", "--teacher", "anthropic", "-o", "api_key=sk-zzz-12345678")
    assert "takes no 'api_key'" in str(refused.exception) and "12345678" not in str(refused.exception) + refused.output


def test_a_rule_for_real_answers_computes_their_steps_again(tmp_path):
    rows = [
        ("16 - 3 = <<16-3=13>>13\n13 * 2 = $<<13*2=26>>26\nA: \\boxed{26}", "18", "16-3=13 holds. 13*2=26 holds. But the"),
        ("13 * 2 = 27\nA: \\boxed{27}", "26", "13*2 is 26, not 27. The rest follows from that slip."),
        (
            "10/3=3.3 and 5+1+2=8, 1.87*9=16.8300000002. A: \\boxed{8}",
            "8",
            "I check: 10/3=3.3 holds. 1.87*9=16.8300000002 holds.",
        ),
        ("1,000+1=1,001. 4/0=2. A: \\boxed{3}", "1,001", "1,000+1=1,001 holds. 4/0 has no value"),
        ("It is \\boxed{seven}.", "7", "without a step"),
    ]
    path = tmp_path / "real.jsonl"
    path.write_text("\n".join(json.dumps({"question": "q", "response": r, "reference": f"...\nA: {g}"}) for r, g, _ in rows))
    answers, tally = read_answers(path), Tally()
    lines = list(guide_answers(answers, load_behavior("self-check"), load_teacher("scripted", rule="gold-check"), tally))
    for line, (_, gold, said) in zip(lines, rows, strict=True):
        assert line["guidance"]["status"] == "proposed" and said in line["guidance"]["text"]
        assert line["text"].endswith(f"So \\boxed{{{gold.replace(',', '')}}}.")
    assert tally.opinion_accuracy == 1
    wrong = Tally()
    liar = load_teacher("scripted", rule="gold-check", wrong_share=1.0)
    list(guide_answers(answers, load_behavior("self-check"), liar, wrong))
    assert wrong.opinion_accuracy == 0


def test_a_cap_that_stops_ends_the_file(file):
    with Server() as server:
        options = [f"base_url={server.url}", "cap_calls=0", "on_cap=stop", "cache=false"]
        result = run(file, "--behavior", "self-check", "--teacher", "anthropic", *(x for o in options for x in ("-o", o)))
    assert "stopped: the teacher has reached its cap (cap_calls" in result.output and not server.calls


def test_options_of_the_command_line():
    assert parse_options(["a=1", "b=x", "c=", "d={input: 1.5}", "e=false", "f=a=b"]) == {
        "a": 1,
        "b": "x",
        "c": "",
        "d": {"input": 1.5},
        "e": False,
        "f": "a=b",
    }
    for bad in ("novalue", "a=[1"):
        with pytest.raises(ConfigError):
            parse_options([bad])
