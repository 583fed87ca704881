"""The demo through its real path, shortened: both arms as processes, the table, the page, the claim in small."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from rich.console import Console

from thinklab.reports.run_page import report_folder
from thinklab.run.folder import RunFolder
from thinklab.studies.demo import run_demo
from thinklab.types import rollout_from_json


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: SIM115 - lives as long as the module
    run_demo(out, "self-check", "aas", 0, 20, 100, console)
    return out, console.export_text()


@pytest.mark.slow
def test_thinktuning_instils_the_check_and_grpo_does_not(demo):
    out, text = demo
    aas, grpo = (json.loads((out / arm / "probe.json").read_text()) for arm in ("aas", "grpo"))
    assert aas["before"] == grpo["before"], "both arms start from the same student"
    assert aas["before"]["T=1"]["accuracy"]["value"] < 0.45 and aas["before"]["T=1"]["behaviors"]["self-check"]["count"] == 0
    assert aas["after"]["T=1"]["behaviors"]["self-check"]["value"] > 0.9
    assert aas["after"]["T=1"]["accuracy"]["value"] > 0.85
    assert grpo["after"]["T=1"]["behaviors"]["self-check"]["count"] == 0
    assert grpo["after"]["T=1"]["accuracy"]["value"] < 0.55
    assert "Yes. With ThinkTuning" in text and "plain GRPO" in text and (out / "report.html").stat().st_size > 1_000_000
    written = (out / "report.html").read_bytes()
    assert report_folder(out).read_bytes() == written, "thinklab report says the same of the same records"


@pytest.mark.slow
def test_every_rollout_is_on_disk_and_guidance_is_what_the_loss_saw(demo):
    out, _ = demo
    run = RunFolder.open(out / "aas")
    rollouts = [rollout_from_json(line) for line in run.read("rollouts")]
    assert len(rollouts) == 20 * 96 and len({r.id for r in rollouts}) == len(rollouts)
    guided = [r for r in rollouts if r.guided]
    assert guided and all(r.guidance.status == "accepted" and r.guidance.text in r.text for r in guided)
    assert all(" I check:" in r.text and r.rewards["behavior"] == 0 for r in guided), "accuracy is the only reward"
    by_id = {r.id: r for r in rollouts}
    for trace in run.read("tokens"):
        rollout = by_id[trace["rollout"]]
        assert trace["teacher"] == list(rollout.teacher_mask)
        said = "".join(t for t, by_teacher in zip(trace["tokens"], trace["teacher"], strict=True) if by_teacher)
        assert said == " " + rollout.guidance.final_text + "<eos>"


def test_the_process_that_shows_the_demo_loads_nothing_heavy():
    """It would delay both arms by the seconds that PyTorch takes to import."""
    code = (
        "import sys, thinklab.cli.app, thinklab.studies.demo; "
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
