"""A damaged run folder: one line that names file and line and what to do; an older whole checkpoint is used, and that is said."""

from __future__ import annotations

import json
import re
import shutil
from importlib import metadata

import pytest
from safetensors.torch import load_file

from tests.support.run_cases import CONFIG, in_this_process
from tests.support.warm_start import run_to_end
from thinklab.config import resolved
from thinklab.errors import RunError, RunWarning
from thinklab.run import config_of_run
from thinklab.run.folder import COMPLETE, RunFolder

VERSION = metadata.version("thinklab")
RESUME = ("train", "--resume", "{run}", "train.steps=5", "--quiet")
PROBE, REPORT, SAVE = ("probe", "{run}"), ("report", "{run}"), ("save", "{run}", "--out", "{run}-saved")
ALL = (RESUME, PROBE, REPORT, SAVE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four steps with the checkpoints 2 and 4, probed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(CONFIG)
    run_to_end("train", "small.yaml", "--out", "run", "--quiet", cwd=folder)
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def line(name, number, data):
    """Put ``data`` in place of a line."""

    def damage(run):
        file = run / name
        old = file.read_bytes().split(b"\n") if file.exists() else [b"{}", b"{}", b""]
        old[number - 1] = data
        file.write_bytes(b"\n".join(old))

    return damage


def whole(name, data):
    return lambda run: (run / name).write_bytes(data)


def cut(*names):
    def damage(run):
        for name in names:
            data = (run / name).read_bytes()
            (run / name).write_bytes(data[: len(data) // 2])

    return damage


def remove(*names):
    return lambda run: [(run / name).unlink() for name in names]


def replace(old, new):
    def damage(run):
        text = (run / "config.yaml").read_text()
        assert old in text
        (run / "config.yaml").write_text(text.replace(old, new, 1))

    return damage


def unmarked(then):
    """The mark of a checkpoint from before marks listed the files."""

    def damage(run):
        for mark in run.glob(f"checkpoints/checkpoint-*/{COMPLETE}"):
            known = json.loads(mark.read_text())
            del known["files"]
            mark.write_text(json.dumps(known))
        then(run)

    return damage


def zeroed(name):
    return lambda run: (run / name).write_bytes(b"\0" * (run / name).stat().st_size)


NEW, OLD = "checkpoints/checkpoint-4/", "checkpoints/checkpoint-2/"
WEIGHTS = "adapter_model.safetensors"

REFUSED = {
    "corrupt line of metrics": (
        line("metrics.jsonl", 2, b'{"step": 2, "lo'),
        (RESUME, REPORT),
        r"metrics\.jsonl:2: is damaged .*remove",
    ),
    "NUL line of metrics": (line("metrics.jsonl", 2, b"\0" * 40), (RESUME,), r"metrics\.jsonl:2: holds NUL bytes only; remove"),
    "null line of metrics": (
        line("metrics.jsonl", 3, b"null"),
        (RESUME,),
        r"metrics\.jsonl:3: holds null, which is not a record; remove",
    ),
    "list in metrics": (
        line("metrics.jsonl", 1, b"[1]"),
        (RESUME,),
        r"metrics\.jsonl:1: holds \[1\], which is not a record; remove",
    ),
    "empty line of metrics": (line("metrics.jsonl", 2, b""), (RESUME,), r"metrics\.jsonl:2: is empty; remove"),
    "metrics without step": (line("metrics.jsonl", 2, b"{}"), (RESUME,), r"metrics\.jsonl:2: 'step' is missing.*remove"),
    "metrics not UTF-8": (line("metrics.jsonl", 2, b'{"step": "\xff"}'), (RESUME,), r"metrics\.jsonl:2: is damaged .*remove"),
    "corrupt line of rollouts": (
        line("rollouts.jsonl", 7, b"}{"),
        (RESUME, PROBE, REPORT),
        r"rollouts\.jsonl:7: is damaged .*remove",
    ),
    "null line of rollouts": (
        line("rollouts.jsonl", 1, b"null"),
        (RESUME, PROBE, REPORT),
        r"rollouts\.jsonl:1: holds null.*remove",
    ),
    "corrupt line of tokens": (
        line("tokens.jsonl", 1, b"\0"),
        (RESUME, REPORT),
        r"tokens\.jsonl:1: holds NUL bytes only; remove",
    ),
    "corrupt probe samples": (
        line("probe_samples.jsonl", 3, b"{"),
        (RESUME, PROBE, REPORT),
        r"probe_samples\.jsonl:3: is damaged.*remove",
    ),
    "probe samples without a stage": (
        line("probe_samples.jsonl", 1, b"{}"),
        (PROBE, REPORT),
        r"probe_samples\.jsonl:1: '\w+' is missing",
    ),
    "corrupt alarms": (
        line("alarms.jsonl", 2, b"{"),
        (RESUME, REPORT, SAVE),
        r"alarms\.jsonl:[12]: (is damaged|'step' is missing)",
    ),
    "torn probe.json": (cut("probe.json"), ALL, r"probe\.json:\d+: is damaged .*thinklab probe \S+run` measures"),
    "empty probe.json": (whole("probe.json", b""), ALL, r"probe\.json: is empty; .*thinklab probe"),
    "null probe.json": (whole("probe.json", b"null"), ALL, r"probe\.json: holds null, .*thinklab probe"),
    "probe.json without rates": (
        whole("probe.json", b'{"before": {}, "after": {}}'),
        (PROBE, REPORT),
        r"probe\.json: 'T=1' is missing",
    ),
    "torn teacher.json": (whole("teacher.json", b'{"spent": '), (RESUME,), r"teacher\.json: is damaged .*cap"),
    "empty config": (whole("config.yaml", b""), ALL, r"config\.yaml:1: is empty; restore it"),
    "NUL config": (whole("config.yaml", b"\0" * 64), ALL, r"config\.yaml:1: cannot be read: .*; restore it"),
    "config not UTF-8": (whole("config.yaml", b"config: \xff\xfe"), ALL, r"config\.yaml:1: cannot be read: .*; restore it"),
    "config that is no YAML": (replace("behaviors:", "beha: [viors:"), ALL, r"config\.yaml:\d+: cannot be read: .*; restore it"),
    "config without versions": (
        lambda run: whole("config.yaml", (run / "config.yaml").read_bytes().split(b"versions:")[0])(run),
        ALL,
        r"config\.yaml:1: lacks versions; restore it",
    ),
    "config that is a list": (
        whole("config.yaml", b"- 1\n- 2\n"),
        ALL,
        r"config\.yaml:1: is not the config of a run; restore it",
    ),
    "a key of another version": (
        lambda run: (
            replace("  train:\n", "  train:\n    frobnicate: 3\n")(run),
            replace(f"thinklab: {VERSION}", "thinklab: 9.9.9")(run),
        ),
        (RESUME, PROBE, SAVE),
        r"config\.yaml:\d+:1: unknown key 'train\.frobnicate'; .*started with thinklab 9\.9\.9",
    ),
    "a value of another kind": (
        replace("checkpoint_every: 2", "checkpoint_every: [2]"),
        (RESUME, PROBE, SAVE),
        r"config\.yaml:\d+:1: train\.checkpoint_every: .*restore it",
    ),
    "no config": (remove("config.yaml"), (RESUME, PROBE, SAVE), r"no config\.yaml"),
    "every checkpoint damaged": (
        cut(NEW + WEIGHTS, OLD + WEIGHTS),
        (RESUME, PROBE, SAVE),
        r"checkpoint-4 is damaged \(adapter_model\.safetensors has [\d,]+ bytes, not [\d,]+\); .*checkpoint-2 is damaged .*out",
    ),
}

OLDER = {
    "truncated weights": (cut(NEW + WEIGHTS), "adapter_model.safetensors has "),
    "zeroed weights of the right size": (zeroed(NEW + WEIGHTS), "adapter_model.safetensors has changed since it was written"),
    "truncated optimizer": (cut(NEW + "optimizer.pt"), "optimizer.pt has "),
    "missing optimizer": (remove(NEW + "optimizer.pt"), "optimizer.pt is missing"),
    "zeroed random state": (zeroed(NEW + "rng_state.pth"), "rng_state.pth has changed since it was written"),
    "torn trainer_state.json": (cut(NEW + "trainer_state.json"), "trainer_state.json has "),
    "missing adapter_config.json": (remove(NEW + "adapter_config.json"), "adapter_config.json is missing"),
    "torn mark": (cut(NEW + COMPLETE), "thinklab.json cannot be read"),
    "old mark, truncated weights": (unmarked(cut(NEW + WEIGHTS)), "adapter_model.safetensors is damaged"),
    "old mark, truncated optimizer": (unmarked(cut(NEW + "optimizer.pt")), "optimizer.pt is damaged"),
    "old mark, torn trainer_state.json": (unmarked(cut(NEW + "trainer_state.json")), "trainer_state.json is damaged"),
}


def name(command):
    return command[0]


@pytest.mark.parametrize(
    "case, command",
    [
        pytest.param(case, command, id=f"{case}, {name(command)}")
        for case, (_, commands, _) in REFUSED.items()
        for command in commands
    ],
)
def test_damage_is_one_line_with_file_line_and_what_to_do(run, case, command, monkeypatch, capfd):
    damage, _, says = REFUSED[case]
    damage(run)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.suffix in (".jsonl", ".yaml", ".safetensors", ".pt")}
    done = in_this_process(monkeypatch, capfd, *(word.format(run=run) for word in command))
    assert done.returncode in (1, 2), done
    assert len(done.errors) == 1 and re.search(says, done.errors[0]), done.stderr
    if command is not PROBE:  # a probe writes the answers that it made before it came to the damage
        assert {p: p.read_bytes() for p in before} == before, "an error lost something"


@pytest.mark.parametrize("case", OLDER)
def test_the_older_whole_checkpoint_is_used_and_that_is_said(run, case, monkeypatch, capfd):
    damage, says = OLDER[case]
    damage(run)
    done = in_this_process(monkeypatch, capfd, "save", run, "--out", f"{run}-saved")
    assert done.returncode == 0 and len(done.warnings) == 1, done.stderr
    assert "checkpoint-4 is damaged" in done.stderr and says in done.stderr and "the older checkpoint-2 is used" in done.stderr
    saved, old = load_file(f"{run}-saved/{WEIGHTS}"), load_file(run / OLD / WEIGHTS)
    assert all((saved[k] == old[k]).all() for k in old)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["truncated weights", "zeroed random state"])
def test_a_run_goes_on_from_the_older_checkpoint_and_ends_as_if_nothing_had_been(trained, run, case, monkeypatch, capfd):
    OLDER[case][0](run)
    done = in_this_process(monkeypatch, capfd, "train", "--resume", run, "--quiet")
    assert done.returncode == 0 and "the older checkpoint-2 is used" in done.stderr, done.stderr
    mine, theirs = (load_file(folder / NEW / WEIGHTS) for folder in (run, trained))
    assert mine.keys() == theirs.keys() and all((mine[k] == theirs[k]).all() for k in theirs)
    assert (run / "checkpoints" / "damaged-checkpoint-4").is_dir()
    assert [x["step"] for x in RunFolder(run).read("metrics")] == [1, 2, 3, 4]
    assert {x["step"] for x in RunFolder(run).read("superseded") if x["from"] == "metrics"} == {3, 4}


def test_probe_measures_the_older_checkpoint(run, monkeypatch, capfd):
    cut(NEW + WEIGHTS)(run)
    done = in_this_process(monkeypatch, capfd, "probe", run)
    assert done.returncode == 0 and "the older checkpoint-2 is used" in done.stderr, done.stderr
    assert RunFolder(run).read_json("probe.json")["steps"] == 2


def test_a_torn_last_line_and_missing_records_are_said(run, monkeypatch, capfd):
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 5, "lo')
    (run / "rollouts.jsonl").unlink()
    done = in_this_process(monkeypatch, capfd, "report", run)
    assert done.returncode == 0
    assert re.search(r"metrics\.jsonl:5: this last line is incomplete .* is removed \(15 bytes\)", done.stderr), done.stderr
    assert re.search(r"rollouts\.jsonl is missing although there is a checkpoint at step 4", done.stderr)


def test_a_renamed_key_of_an_older_version_is_migrated_and_that_is_said(run, monkeypatch, capfd):
    monkeypatch.setattr(
        resolved,
        "RENAMED",
        (("0.1.0", {"train.lr": "train.learning_rate", "extra.tau": "loss.beta"}), ("0.0.5", {"train.never": "train.steps"})),
    )
    wanted = config_of_run.experiment_of(RunFolder(run))
    replace("    learning_rate:", "    lr:")(run)
    replace(f"thinklab: {VERSION}", "thinklab: 0.0.9")(run)
    with pytest.warns(RunWarning, match=r"config\.yaml: keys renamed in this version: train\.lr -> train\.learning_rate$"):
        assert config_of_run.experiment_of(RunFolder(run)) == wanted
    done = in_this_process(monkeypatch, capfd, "train", "--resume", run, "--quiet")
    assert done.returncode == 0 and "is finished" in done.stderr and len(done.warnings) == 1, done.stderr
    replace("thinklab: 0.0.9", "thinklab: 0.1.0")(run)  # a run of the version that renamed it has the new name
    with pytest.raises(RunError, match=r"unknown key 'train\.lr'"):
        config_of_run.experiment_of(RunFolder(run))
