"""Whole runs on Unsloth's real code in a tiny shape on a CPU: two steps, resume, export, and the teachers that are asked outside."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

if "tests.support.unsloth_emulation" not in sys.modules:
    pytest.skip("needs the environment and the plugin of `make test-unsloth`", allow_module_level=True)

import torch
from transformers import AutoModelForCausalLM

from tests.method.test_trainer_formula import written_formula
from tests.support.small_runs import resumed_after_one_step
from tests.support.tiny_llama import make_llama
from tests.unsloth.emulated import MESSAGES, SHAPE, experiment, plain_twin, two_steps
from thinklab.errors import RunError
from thinklab.export.export import save
from thinklab.run.checkpoints import COMPLETE, mark
from thinklab.teachers.unpatched import unpatched


def test_two_steps_with_a_teacher_have_the_loss_and_gradients_of_the_formula(folder, trained):
    session, seen = trained
    assert session.trainer.state.global_step == 2 and len(seen.calls) == 2
    rows = list(session.run.read("rollouts"))
    assert [r["guidance"]["status"] for r in rows if r["guidance"]] == ["accepted", "accepted"] and len(rows) == 4
    twin, counted = plain_twin(folder, session.student).train(), {}
    for (weights, inputs, loss), grads in zip(seen.calls, seen.grads, strict=True):
        twin.load_state_dict(weights, strict=False)
        twin.zero_grad()
        counted = dict.fromkeys(["masked teacher", "negative teacher", "positive teacher", "clipped student", "left padded"], 0)
        with unpatched():
            expected = written_formula(twin.get_base_model(), inputs, session.trainer.args, session.trainer.shaping, 1, counted)
        expected.backward()
        assert loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
        theirs = {n: p.grad for n, p in twin.named_parameters() if p.grad is not None}
        largest = max(g.abs().max().item() for g in theirs.values())
        assert grads.keys() == theirs.keys() and largest > 1e-4
        for name, gradient in theirs.items():
            torch.testing.assert_close(grads[name], gradient, rtol=1e-3, atol=1e-4 * largest)
    assert counted["positive teacher"] + counted["negative teacher"] + counted["masked teacher"] > 0


def test_a_resumed_run_goes_on_as_the_whole_one(folder, trained, tmp_path):
    session, _ = trained
    again = resumed_after_one_step(session, experiment(folder), tmp_path / "run")
    whole = {n: p for n, p in session.student.model.named_parameters() if "lora_" in n}
    for name, parameter in again.student.model.named_parameters():
        if name in whole:
            torch.testing.assert_close(parameter, whole[name], rtol=1e-5, atol=1e-6)


def test_an_export_says_what_the_student_said_and_another_base_is_found_out(folder, trained, tmp_path):
    """As a user of the export would: transformers' own classes."""
    session, _ = trained
    merged = save(session.run.path, "merged", tmp_path / "merged")
    ids = torch.tensor([session.student.encode(MESSAGES)])
    with unpatched(), torch.no_grad():
        mine = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)(input_ids=ids).logits
    session.trainer.model.for_inference()
    with torch.no_grad():
        theirs = session.trainer.model(input_ids=ids).logits
    session.trainer.model.for_training()
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())
    shutil.copytree(session.run.path, tmp_path / "run")
    with unpatched():
        other = make_llama(tmp_path / "other", **SHAPE, ends=0.6)
    last = tmp_path / "run" / "checkpoints" / "checkpoint-2"
    named = last / "adapter_config.json"
    named.write_text(named.read_text().replace(str(folder), str(other)))
    (last / COMPLETE).write_text(json.dumps(mark(last, json.loads((last / COMPLETE).read_text()))))  # as if written that way
    with pytest.raises(RunError, match=r"differs from the trained student.*nats per token"):
        save(tmp_path / "run", "merged", tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"backend": "anthropic", "base_url": "URL"},
        {"backend": "openai", "model": "m", "base_url": "URL/v1", "key_env": "OPENAI_API_KEY"},
        {"backend": "replay", "run": "RUN"},
    ],
    ids=lambda options: options["backend"],
)
def test_two_steps_with_a_teacher_who_always_answers(options, folder, trained, tmp_path, monkeypatch):
    """A replayed teacher finds its replies only where the same answers come, so with the same adapter."""
    asked, _ = two_steps(options, folder, tmp_path, monkeypatch, adapter=options["backend"] == "replay", RUN=trained[0].run.path)
    assert [g["status"] for g in asked] == ["accepted"] * len(asked)


def test_two_steps_with_a_human_teacher_who_is_away(folder, tmp_path, monkeypatch):
    _, reasons = two_steps({"backend": "human", "folder": "TMP/inbox"}, folder, tmp_path, monkeypatch)
    assert reasons == {"waiting"} and (tmp_path / "inbox" / "requests.jsonl").exists()
