"""Studies: what a file may say, what is run again and what is not, and a page with every answer behind the table."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import signal
import tarfile
import time
from dataclasses import replace

import pytest

from tests.conftest import ROOT
from thinklab.errors import ConfigError, RunError
from thinklab.evaluation.plan import load_evaluation
from thinklab.experiment.forked_run import can_fork
from thinklab.probing.stats import Rate
from thinklab.run.folder import RunFolder
from thinklab.students import world_corpus, world_gate
from thinklab.studies.archive import pack, unpack
from thinklab.studies.page import write_study
from thinklab.studies.runner import make_students, run_study
from thinklab.studies.study import cells, load_study
from thinklab.studies.table import across, against_control, as_csv, finished_rows, markdown, onset

STUDY = """
name: small
bases: {sums: base.yaml}
seeds: [3, 4]
control: grpo
arms:
  grpo: {loss.method: grpo}
  aas: {loss.method: aas, train.learning_rate: 0.002}
"""
BASE = """
name: base
task: {name: sums}
behaviors: [self-check]
teacher: {backend: scripted, rule: sums-check}
guidance: {gamma: 1, max_tokens: 60}
train: {steps: 4, questions: 2, samples: 3, max_prompt_tokens: 40, max_completion_tokens: 40, checkpoint_every: 2}
probe: {questions: 6, every: 2, every_questions: 6}
"""
EVIL = "<img src=x onerror=alert(1)></script>"


@pytest.fixture
def file(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def finish(cell, right, shown, total=50, others=()):
    """The records of a finished run, without the training."""

    def rate(count):
        r = Rate(count, total)
        return {"count": count, "total": total, "value": r.value, "low": r.low, "high": r.high}

    run = RunFolder.create(cell.folder, cell.config().model_dump(mode="json"), {})
    result = {
        d: {
            "decoding": d,
            "accuracy": rate(right),
            "first_accuracy": rate(20),
            "finished": rate(50),
            "behaviors": {"self-check": rate(shown)} | {name: rate(count) for name, count in others},
            "mean_tokens": 20.0,
        }
        for d in ("T=1", "greedy")
    }
    run.write_json("probe.json", {"before": result, "after": result, "steps": 4})
    run.append(
        "metrics",
        [
            {
                "step": s,
                "seconds": s * 1.5,
                "guided_fraction": 0.5,
                "neutral_kl": s / 1000,
                "own/behavior": s / 6,
                "grad_norm": 7.5 / s,
                "num_tokens": 1000 * s,
            }
            for s in (1, 2, 3, 4)
        ],
    )
    run.append("alarms", [{"step": 2, "kind": "silent", "sign": "frozen"}, {"step": 3, "kind": "collapse", "sign": "kl"}])
    run.append("probes", [{"step": s, **result["T=1"]} for s in (0, 2)])
    run.append(
        "probe_samples",
        [
            {
                "stage": "after",
                "decoding": "T=1",
                "question": EVIL,
                "gold": "1",
                "text": EVIL,
                "correct": True,
                "behaviors": {"self-check": False},
            }
        ],
    )


def test_every_shipped_study_is_valid():
    paths = sorted((ROOT / "examples" / "studies").glob("*.yaml"))
    assert paths
    for path in paths:
        study = load_study(path)
        place, arm, seed = next(iter(study.places())), next(iter(study.arms)), study.seeds[0]
        # each arm in one place, and each place with one arm: a config of every cell would take half a minute
        assert len(cells(study, path, "out", f"{place}/*/seed-{seed}")) == len(study.arms)
        assert len(cells(study, path, "out", f"*/{arm}/seed-{seed}")) == len(study.places())
        assert len(study.seeds) >= 3 or study.name == "learning-rates"


def test_seeds_come_first_and_overrides_reach_the_config(file):
    found = cells(load_study(file), file, file.parent / "out")
    assert [c.name for c in found] == ["sums/grpo/seed-3", "sums/aas/seed-3", "sums/grpo/seed-4", "sums/aas/seed-4"]
    train = found[1].config().train
    assert (train.learning_rate, train.seed, train.threads) == (0.002, 3, 1)
    assert [c.name for c in cells(load_study(file), file, "out", "*/aas/*")] == ["sums/aas/seed-3", "sums/aas/seed-4"]


def test_groups_cross_the_arms_and_each_has_its_own_control(file):
    groups = "groups:\n  low: {train.learning_rate: 0.0001}\n  high: {guidance.gamma: 2}\narms:"
    file.write_text(STUDY.replace("arms:", groups))
    study, out = load_study(file), file.parent / "out"
    every = cells(study, file, out)
    assert [c.name for c in every[:4]] == ["low/grpo/seed-3", "low/aas/seed-3", "high/grpo/seed-3", "high/aas/seed-3"]
    rates = [c.config().train.learning_rate for c in every[:4]]
    assert rates == [0.0001, 0.002, 0.001, 0.002] and every[2].config().guidance.gamma == 2  # what an arm sets wins
    for cell, right in zip(every, (10, 20, 30, 45) * 2, strict=True):
        finish(cell, right, 0)
    rows = finished_rows(every)
    assert against_control(study, rows, "low", "aas", "accuracy T=1").value == pytest.approx(0.2)
    assert against_control(study, rows, "high", "aas", "accuracy T=1").value == pytest.approx(0.3)
    assert across(study, rows)[1] == [
        ["low", "0.20", ".20 (.20 to .20)", ".40 (.40 to .40)"],
        ["high", "0.60", ".60 (.60 to .60)", ".90 (.90 to .90)"],
    ]
    page = write_study(study, every, out)[1].read_text()
    assert "All groups" in page and "<h2>high</h2>" in page
    file.write_text(STUDY.replace("arms:", groups.replace("guidance.gamma: 2", "student: '@none'")))
    with pytest.raises(ConfigError, match="group 'high': there is no student 'none'"):
        load_study(file)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("control: grpo", "control: grp", "did you mean 'grpo'"),
        ("seeds: [3, 4]", "seeds: [3, 3]", "occurs twice"),
        ("loss.method: grpo", "loss.methot: grpo", "did you mean 'method'"),
        ("arms:", "armes:", "did you mean 'arms'"),
        ("loss.method: grpo", "student: '@none'", "no student 'none'"),
        ("  grpo: {", "  a/b: {", "becomes a folder"),
    ],
)
def test_a_wrong_study_says_what_and_where(file, old, new, words):
    file.write_text(STUDY.replace(old, new))
    with pytest.raises(ConfigError, match=re.escape(words)):
        cells(load_study(file), file, "out")


def test_a_finished_run_is_left_alone_and_a_foreign_one_is_refused(file):
    out = file.parent / "out"
    every = cells(load_study(file), file, out)
    for cell in every:
        finish(cell, 25, 0)
    said = []
    assert run_study(load_study(file), every, out, 1, said.append) == [] and said == ["4 of 4 runs are already finished"]
    other = replace(every[0], folder=every[1].folder)
    with pytest.raises(RunError, match="another config"):
        other.state()


def test_table_and_page_hold_every_seed_and_every_answer(file):
    out, study = file.parent / "out", load_study(file)
    every = cells(study, file, out)
    for cell, figures in zip(every, ((20, 0), (40, 50), (22, 0), (46, 48)), strict=True):
        finish(cell, *figures)
    rows = finished_rows(every)
    gap = against_control(study, rows, "sums", "aas", "accuracy T=1")
    assert gap.value == pytest.approx((0.4 + 0.48) / 2) and gap.high - gap.value == pytest.approx(12.706 * 0.04, rel=1e-3)
    assert against_control(study, rows, "sums", "grpo", "accuracy T=1") is None
    line = next(x for x in markdown(study, rows).splitlines() if x.startswith("| aas"))
    assert ".80 .92" in line and "0.86" in line and "1.00 .96" in line and "+44.0" in line
    assert as_csv(rows).count("\n") == 5 and "sums,aas,4,4,6.0,12" in as_csv(rows)
    assert as_csv(rows).splitlines()[1].endswith(",0.004000,kl at 3,2,7.5,4000") and line.endswith(
        "| 4 | 2 2 | 7.5 7.5 | 0.0040 | 2 |"
    )
    _, page = write_study(study, every[:3], out)
    text = page.read_text()
    assert "onerror=alert(1)>" not in text and len(text) < 5_000_000
    packed = re.search(r"data-packed='([^']+)'", text)[1]
    answers = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert answers["sums/aas/seed-3, T=1"] == [[EVIL, "1", EVIL, 1, 0]] and len(answers) == 6


def test_a_mixture_has_a_table_of_all_its_behaviors(file):
    study = load_study(file)
    every = cells(study, file, file.parent / "out")
    for cell, shown in zip(every, (0, 10, 0, 20), strict=True):
        finish(cell, 25, shown, others=[("self-conflict", 35)] if cell.arm == "aas" else ())
    _, said = markdown(study, finished_rows(every)).split("### sums: each behavior of a mixture")
    assert "| arm | self-check | self-conflict |" in said and "| aas | .30 (.20 to .40) | .70 (.70 to .70) |" in said
    assert "grpo" not in said
    other = RunFolder(every[1].folder)  # arms may teach different behaviors
    other.rewrite("probes", [{**line, "behaviors": {}} for line in other.read("probes")])
    assert "Shows self-check" in write_study(study, every, file.parent / "out")[1].read_text()


@pytest.mark.slow
@pytest.mark.skipif(not can_fork(), reason="forked runs are for Linux without a GPU")
def test_a_forked_run_is_the_same_run(file):
    """Records and answers to the last bit, and a failure ends in its log."""
    every = cells(load_study(file), file, file.parent / "out", "*/aas/*")
    process = every[0].start(fork=True)
    broken = replace(every[1], overrides=(*every[1].overrides, "teacher.rule=no-such-rule")).start(fork=True)
    other = replace(every[0], folder=file.parent / "alone")
    assert other.start(fork=False).wait() == 0 and process.wait() == 0 and broken.wait() not in (0, None)
    for name in ("rollouts.jsonl", "probe_samples.jsonl", "tokens.jsonl"):
        assert (every[0].folder / name).read_bytes() == (other.folder / name).read_bytes()
    assert "no-such-rule" in (every[1].folder / "log.txt").read_text()


@pytest.mark.slow
def test_a_killed_run_is_resumed_and_a_failing_one_does_not_stop_the_others(file):
    out, study = file.parent / "out", load_study(file)
    every = cells(study, file, out, "*/seed-3")
    process = every[1].start()
    marks = every[1].folder / "checkpoints"
    deadline = time.time() + 120
    while not list(marks.glob("checkpoint-2/thinklab.json")):
        assert process.poll() is None and time.time() < deadline, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert every[1].state() == "started"
    broken = replace(every[0], overrides=(*every[0].overrides, "task.path=missing.jsonl"), folder=out / "broken")
    said = []
    failed = run_study(study, [broken, every[1]], out, 1, said.append)
    assert len(failed) == 1 and "broken" not in every[1].name and "log.txt" in failed[0]
    assert every[1].state() == "finished" and RunFolder(every[1].folder).read_json("probe.json")["steps"] == 4


def test_the_table_is_built_again_from_the_packed_raw_files(file, tmp_path):
    out = tmp_path / "runs"
    made = cells(load_study(file), file, out)
    for k, cell in enumerate(made):
        finish(cell, 30 + k, k)
    (made[0].folder / "rollouts.jsonl").write_text("large\n")
    write_study(load_study(file), made, out)
    archive = tmp_path / "raw" / "small.tar.xz"
    assert pack(made, out, archive) == 4
    again = tmp_path / "elsewhere"
    unpack(archive, again)
    write_study(load_study(file), cells(load_study(file), file, again), again)
    for name in ("table.md", "table.csv"):
        assert (again / name).read_text() == (out / name).read_text()
    assert not list(again.rglob("rollouts.jsonl"))
    second = tmp_path / "second.tar.xz"
    pack(made, out, second)
    assert second.read_bytes() == archive.read_bytes(), "the same runs give the same bytes"
    with pytest.raises(RunError, match="not empty"):
        unpack(archive, again)


def test_an_archive_whose_file_was_changed_is_refused(file, tmp_path):
    made = cells(load_study(file), file, tmp_path / "runs")
    finish(made[0], 30, 1)
    archive = tmp_path / "small.tar.xz"
    pack(made, tmp_path / "runs", archive)
    (tmp_path / "x").mkdir()
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "x", filter="data")
    probe = next((tmp_path / "x").rglob("probe.json"))
    probe.write_text(probe.read_text().replace("30", "49", 1))
    with tarfile.open(archive, "w:xz") as tar:
        for part in sorted((tmp_path / "x").iterdir()):
            tar.add(part, part.name)
    with pytest.raises(RunError, match=r"probe\.json is not the file that was packed"):
        unpack(archive, tmp_path / "y")
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(RunError, match="damaged"):
        unpack(archive, tmp_path / "z")


def test_a_packed_config_names_the_studys_students_in_the_new_folder(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace("arms:", "students: {other: {seed: 1}}\narms:").replace("aas: {", 'aas: {student: "@other", '))
    made = cells(load_study(file), file, tmp_path / "runs")
    for cell in made:
        finish(cell, 30, 1)
    pack(made, tmp_path / "runs", tmp_path / "raw.tar.xz")
    unpack(tmp_path / "raw.tar.xz", tmp_path / "new")
    assert [cell.state() for cell in cells(load_study(file), file, tmp_path / "new")] == ["finished"] * 4


@pytest.mark.parametrize("rates, first", [([0.0, 0.4, 0.5, 0.1], 2), ([0.0, 0.49], None), ([], None), ([1.0], 0)])
def test_the_onset_is_the_first_generation_with_half(rates, first):
    assert onset(rates) == first


WORLD = """
name: worlds
bases: {world: base.yaml}
seeds: [0]
students: {base-0: {corpus: world, seed: 4}}
arms:
  grpo: {loss.method: grpo, student: "@base-0"}
"""


def test_a_study_makes_bases_of_the_small_world_and_refuses_one_that_fails_its_gate(file):
    out, path = file.parent / "out", file.parent / "worlds.yaml"
    path.write_text(WORLD)
    study = load_study(path)
    recipe = study.students["base-0"]
    assert recipe.maker == ["-m", "thinklab.students.make_world"] and recipe.arguments() == ["--seed=4"]
    rates = {kind: {str(n): {world_gate.CHECK: 0.95} for n in (1, 2, 3, 4)} for kind in ("sum", "chain")}
    made = {"corpus": "world", "steps": world_corpus.STEPS, "seed": 4, "figures": rates}
    folder = out / "students" / "base-0"
    folder.mkdir(parents=True)
    for changed in ({"seed": 5}, {"steps": 7}, {"corpus": None}):
        (folder / "made.json").write_text(json.dumps({**made, **changed}))
        with pytest.raises(RunError, match="another recipe"):
            make_students(study, cells(study, path, out), out, print)
    (folder / "made.json").write_text(json.dumps(made))
    make_students(study, cells(study, path, out), out, print)  # good as it is
    rates["chain"]["4"][world_gate.CHECK] = 0.71
    (folder / "made.json").write_text(json.dumps(made))
    with pytest.raises(RunError, match=r"'base-0' fails its gate: chain: a forced check is right in 0\.890 .* more steps"):
        make_students(study, cells(study, path, out), out, print)


def test_the_evaluation_of_the_small_world_asks_every_run_of_its_study():
    path = ROOT / "examples" / "studies" / "small-world.yaml"
    study, evaluation = load_study(path), load_evaluation(ROOT / "examples" / "eval" / "small-world.yaml")
    asked = {run for method in evaluation.methods.values() for run in method.run or ()}
    assert asked == {f"runs/{study.name}/{p}/{a}/seed-{s}" for p in study.places() for a in study.arms for s in study.seeds}
    made = {method.student.path for method in evaluation.methods.values() if method.student}
    assert made == {f"runs/{study.name}/students/{name}" for name in study.students}


def test_a_base_of_the_small_world_has_no_shares(file):
    path = file.parent / "worlds.yaml"
    path.write_text(WORLD.replace("seed: 4", "seed: 4, slip: 0.3"))
    with pytest.raises(ConfigError, match=r"worlds\.yaml:5.*'world' has no 'slip': only steps, questions and seed"):
        load_study(path)
