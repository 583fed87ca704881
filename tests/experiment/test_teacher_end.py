"""What the end of a run says and returns when its teacher gave out, was too dear, or was hardly ever usable."""

from __future__ import annotations

import json

import pytest

from tests.conftest import ROOT
from tests.support.fake_server import KEY, Raw, Server
from tests.support.run_cases import in_this_process
from thinklab.guide.rejections import sentence
from thinklab.run.folder import RunFolder
from thinklab.studies.study import Cell

CREDIT = Raw(
    400,
    {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        },
    },
)
SMALL = [
    "questions=2",
    "samples=4",
    "probe.questions=4",
    "probe.every=0",
    "checkpoint_every=1",
    "decay=constant",
    "guards.action=off",
]


@pytest.fixture
def thinklab(monkeypatch, capfd, tmp_path):
    """(exit code, stdout, stderr) of a command in ``tmp_path``."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*args):
        done = in_this_process(monkeypatch, capfd, *args)
        return done.returncode, done.stdout, done.stderr

    return run


def train(thinklab, server, *more):
    return thinklab(
        "train",
        ROOT / "examples" / "demo-self-check.yaml",
        "--out",
        "run",
        *SMALL,
        "teacher={backend: anthropic, first_wait_s: 0.01, attempts: 2, concurrency: 1}",
        f"teacher.base_url={server.url}",
        *more,
    )


def test_an_account_without_credit_ends_the_run_with_its_own_exit_code_and_resumes(thinklab, tmp_path):
    with Server(lambda number, body: "ok" if number < 3 else CREDIT) as server:
        code, out, err = train(thinklab, server, "steps=6")
        assert code == 3 and "credit balance is too low" in err and "--resume" in err and "run folder: run" in out
        run = RunFolder.open(tmp_path / "run")
        found = run.read_json("probe.json")
        assert 1 <= found["steps"] < 6 and found["failed"] and run.last_checkpoint()[1] == found["steps"]
        assert "teacher-failed" in err and f"ended at step {found['steps']} of 6" in err.replace("\n", " ")
        server.script = lambda number, body: "ok"
        code, out, err = train(thinklab, server, "steps=6", "--resume")
        assert code == 0 and run.read_json("probe.json")["steps"] == 6 and not run.read_json("probe.json")["failed"]


def test_guided_texts_of_a_baseline_end_in_the_same_way(thinklab, tmp_path):
    with Server(lambda number, body: CREDIT) as server:
        code, _, err = train(thinklab, server, "steps=2", "loss.method=grpo", "baseline={kind: sft, texts: guided}")
    assert code == 3 and "credit balance is too low" in err and "--resume" in err


def test_a_study_goes_on_with_a_run_whose_teacher_gave_out(tmp_path, monkeypatch):
    cell = Cell(
        base="b",
        arm="a",
        seed=0,
        file=ROOT / "examples" / "demo-self-check.yaml",
        overrides=("steps=6",),
        folder=tmp_path / "run",
    )
    run = RunFolder.create(cell.folder, cell.config().model_dump(mode="json"), {})
    for failed, state in (("no credit", "started"), ("", "finished")):
        run.write_json("probe.json", {"before": {}, "after": {}, "steps": 2, "stopped": "why", "failed": failed})
        assert cell.state() == state


def test_an_estimate_above_the_cap_is_refused_before_anything_is_spent(thinklab, tmp_path):
    for cap in ("cap_usd=0.0001", "cap_calls=2", "cap_tokens=500"):
        with Server() as server:
            code, _, err = train(thinklab, server, "steps=2", f"teacher.{cap}")
            words = " ".join(err.split())
            assert code == 2 and not server.calls and cap.partition("=")[0] in words
            assert "lower train.steps" in words and "on_cap=stop" in words
    with Server() as server:  # the folder is free again, and an explicit word is enough
        code, _, err = train(thinklab, server, "steps=2", "teacher.cap_calls=2", "teacher.on_cap=plain")
    assert code == 0 and len(server.calls) == 2, err


def test_a_cap_that_is_likely_to_hold_is_not_refused(thinklab):
    with Server() as server:
        code, _, err = train(thinklab, server, "steps=1", "teacher.cap_usd=1")
    assert code == 0 and server.calls, err


def test_the_end_of_every_run_says_what_became_of_the_replies(thinklab):
    with Server() as server:
        _, _, err = train(thinklab, server, "steps=1")
    assert "replies: all " in err and "WARNING" not in err
    code, _, err = thinklab(
        "train", ROOT / "examples" / "demo-self-check.yaml", "--out", "run2", *SMALL, "steps=1", "teacher.mute_share=1.0"
    )
    assert code == 0 and "WARNING: no reply was usable" in err and "mute" in err and "plain GRPO" in err


def test_guide_says_it_too_and_ends_with_the_account(thinklab, tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"question": f"{k}?", "response": "1"}) + "\n" for k in range(4)))
    base = ("guide", "a.jsonl", "--behavior", "self-check", "--teacher")
    code, _, err = thinklab(*base, "scripted", "-o", "rule=gold-check", "-o", "mute_share=1.0", "--out", "o1.jsonl")
    assert code == 0 and "WARNING: no reply was usable: 4 of 4 rejected (100%): mute 4" in err
    with Server(lambda number, body: CREDIT) as server:
        code, _, err = thinklab(*base, "anthropic", "-o", f"base_url={server.url}", "--out", "o2.jsonl")
    assert code == 1 and "the account has no credit" in err


def test_guide_refuses_what_the_cap_is_too_small_for(thinklab, tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"question": f"{k}?", "response": "1"}) + "\n" for k in range(4)))
    with Server() as server:
        code, _, err = thinklab(
            "guide",
            "a.jsonl",
            "--behavior",
            "self-check",
            "--teacher",
            "anthropic",
            "-o",
            "cap_calls=3",
            "-o",
            f"base_url={server.url}",
            "--out",
            "o.jsonl",
        )
    assert code == 2 and not server.calls and "--limit" in err and not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize(
    "teacher, more",
    [
        ("anthropic", []),
        ("openai", ["-o", "model=gpt-x", "-o", "price={input: 1, output: 2}"]),
        ("scripted", ["-o", "rule=hit-hard"]),
    ],
)
def test_a_dry_run_needs_no_key(thinklab, tmp_path, monkeypatch, teacher, more):
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "1?", "response": "1"}) + "\n")
    command = ("guide", "a.jsonl", "--behavior", "self-check", "--teacher", teacher, *more)
    code, _, err = thinklab(*command, "--dry-run")
    assert code == 0 and "Before: 1 " in err
    if teacher != "scripted":
        code, _, err = thinklab(*command)
        assert code == 1 and "no key" in err


@pytest.mark.parametrize(
    "options, said",
    [
        (
            ["temperature=none"],
            "option temperature: a valid number, not 'none'; for no value write null, or leave the option out",
        ),
        (["model=401"], 'option model: a valid string, not 401; in quotes it is a text: "401"'),
        (["model="], "option model is empty"),
        (["temperature=.nan"], "option temperature"),
        (["effort=banana"], "option effort: one of low, medium"),
        (["base_url=5"], "base_url"),
        (["key_env=3"], "key_env"),
        (["cache=none"], "cache: true, false, or a path"),
        (["cap_usd=.inf"], "cap_usd"),
        (["attempts=none"], "attempts"),
        (["price={input: 1, output: 2, long: 3}"], "long must contain rates and above"),
        (["price=free"], "price"),
        (["concurrency=many"], "concurrency"),
    ],
)
def test_an_option_of_the_wrong_type_is_one_line(thinklab, tmp_path, options, said):
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "1?", "response": "1"}) + "\n")
    given = [x for o in options for x in ("-o", o)]
    code, _, err = thinklab("guide", "a.jsonl", "--behavior", "self-check", "--teacher", "anthropic", *given)
    assert code == 2 and said in " ".join(err.split()), err


@pytest.mark.parametrize(
    "teacher, option",
    [
        ("human", "wait_s=soon"),
        ("scripted", "mute_share=none"),
        ("replay", "run=5"),
        ("local", "model=7"),
        ("local", "rows=x"),
        ("openai", "model=401"),
        ("openai", "temperature=none"),
    ],
)
def test_so_is_one_of_the_other_teachers(thinklab, tmp_path, teacher, option):
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "1?", "response": "1"}) + "\n")
    extra = {"scripted": ["-o", "rule=hit-hard"], "local": ["-o", "model=x"], "openai": ["-o", "model=x"]}.get(teacher, [])
    code, _, err = thinklab("guide", "a.jsonl", "--behavior", "self-check", "--teacher", teacher, *extra, "-o", option)
    assert code == 2 and f"option {option.partition('=')[0]}: " in err, err


def test_the_sentence():
    assert sentence({}) == "" and sentence({"accepted": 3, "edited": 1}) == "replies: all 4 used"
    assert sentence({"accepted": 35, "server": 6, "refusal": 7}) == "replies: 13 of 48 rejected (27%): refusal 7, server 6"
    loud = sentence({"accepted": 1, "refusal": 2}, ". Sad")
    assert loud == "WARNING: most replies were unusable: 2 of 3 rejected (67%): refusal 2. Sad"
    assert "WARNING" not in sentence({"accepted": 1, "refusal": 1})
