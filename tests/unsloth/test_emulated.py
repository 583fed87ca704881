"""Unsloth's real code in tiny shapes on a CPU: forward, generation, LoRA, mode switches, whole runs. See ``emulate.py``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

if "tests.support.unsloth_emulation" not in sys.modules:
    pytest.skip("needs the environment and the plugin of `make test-unsloth`", allow_module_level=True)

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaForCausalLM, TrainerCallback
from trl import GRPOTrainer

from tests.method.test_trainer_formula import written_formula
from tests.support.fake_server import KEY, Server
from tests.support.tiny_llama import make_llama
from thinklab.config.experiment import Experiment
from thinklab.errors import RunError, TeacherError
from thinklab.experiment import longest_batch
from thinklab.experiment.build import build
from thinklab.export.export import save
from thinklab.logprobs import chosen_logprobs
from thinklab.sampler import GenerateSampler, Sampler
from thinklab.students import load_student
from thinklab.teachers import TeacherRequest, load_teacher, resident
from thinklab.teachers.unpatched import unpatched
from thinklab.types import Example

HERE = Path(__file__).parent
MESSAGES = [{"role": "user", "content": "2+3?"}]


def comment(request):
    """The scripted teacher's rule here."""
    return f"<opinion>incorrect</opinion><reason>I check: no.</reason><phrase>\\boxed{{{request.example.gold}}}</phrase>"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """One layer; an answer ends after some four tokens."""
    return make_llama(tmp_path_factory.mktemp("llama") / "m", hidden=32, inner=64, layers=1, heads=4, kv_heads=2, ends=0.25)


def experiment(folder, teacher=None, student=(), **train):
    return Experiment.model_validate(
        {
            "student": {"kind": "unsloth", "path": str(folder), "lora": {"r": 4, "alpha": 8}, **dict(student)},
            "task": {"name": "sums", "terms": [2, 2]},
            "behaviors": [str(HERE / "short-check.yaml")],
            "teacher": teacher or {"backend": "scripted", "rule": f"{__name__}:comment"},
            "guidance": {"gamma": 1, "max_tokens": 40},
            "guards": {"action": "off"},
            "probe": {"questions": 2, "every": 0},
            "reward": {"require_finished": False},
            "train": {
                "steps": 2,
                "questions": 1,
                "samples": 2,
                "micro_batch": 2,
                "max_prompt_tokens": 24,
                "max_completion_tokens": 6,
                "learning_rate": 0.05,
                "warmup_steps": 0,
                "checkpoint_every": 1,
                "longest_batch_first": False,
                "max_grad_norm": 1e9,
                "optimizer": "sgd",
                **train,
            },
        }
    )


def stirred(student):
    """An adapter that does something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in student.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    return student


@pytest.fixture(scope="module")
def student(folder):
    return stirred(load_student("unsloth", str(folder), lora={"r": 4, "alpha": 8}, max_length=500))


def plain_twin(folder, student):
    """transformers' and PEFT's own model with the same weights; its forward is called within ``unpatched``."""
    with unpatched():
        twin = get_peft_model(
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
    weights = {n: p for n, p in student.model.named_parameters() if "lora_" in n}
    assert weights.keys() == {n for n, p in twin.named_parameters() if "lora_" in n}
    twin.load_state_dict({n: p.detach().clone() for n, p in weights.items()}, strict=False)
    return twin


def test_it_is_unsloth_s_code_that_runs(student):
    from unsloth.models import llama

    assert LlamaForCausalLM.forward.__module__ == llama.__name__ and GRPOTrainer.__name__ == "UnslothGRPOTrainer"
    assert type(student.sampler(4)) is GenerateSampler
    with unpatched():
        assert LlamaForCausalLM.forward.__module__.startswith("transformers")
    assert LlamaForCausalLM.forward.__module__ == llama.__name__


def test_log_probs_and_gradients_with_padding_on_both_sides(folder, student):
    """By ``.backward()`` under Unsloth's checkpointing, where ``torch.autograd.grad`` finds no gradient at all."""
    ids = torch.randint(5, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, :3], mask[1, -2:] = 0, 0
    weight, found = torch.arange(1.0, 7.0), {}
    twin = plain_twin(folder, student)
    student.model.for_training(use_gradient_checkpointing=True)
    assert student.model.get_base_model().model.gradient_checkpointing
    for name, model in (("unsloth", student.model), ("plain", twin.train())):
        model.zero_grad()
        if name == "plain":
            with unpatched():
                logps, entropies = chosen_logprobs(model.get_base_model(), ids, mask, 6)
        else:
            logps, entropies = chosen_logprobs(model, ids, mask, 6)
        (logps * weight).sum().backward()
        found[name] = logps.detach(), entropies, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    torch.testing.assert_close(found["unsloth"][0], found["plain"][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["unsloth"][1], found["plain"][1], rtol=1e-4, atol=1e-5)
    assert found["unsloth"][2].keys() == found["plain"][2].keys() and len(found["plain"][2]) == 14
    largest = max(g.abs().max().item() for g in found["plain"][2].values())
    assert largest > 0.01
    for name, gradient in found["plain"][2].items():
        torch.testing.assert_close(found["unsloth"][2][name], gradient, rtol=1e-3, atol=1e-5 * largest)
    student.model.zero_grad()


def test_greedy_answers_are_those_of_the_plain_model_and_samples_are_seeded(folder, student):
    prompts = [student.encode(MESSAGES), student.encode([{"role": "user", "content": "Tom has 12 figs and 4 more"}])]
    twin = plain_twin(folder, student).eval()
    mine = student.sampler(6, temperature=0.0)(student.model, prompts, 2)
    with unpatched():
        plain = Sampler(6, student.eos_ids, student.tokenizer.pad_token_id, 0.0)(twin.get_base_model(), prompts, 2)
    assert mine == plain
    sampler = student.sampler(6)
    assert sampler(student.model, prompts, 3, 7) == sampler(student.model, prompts, 3, 7) != sampler(student.model, prompts, 3, 8)


class Seen(TrainerCallback):
    """Weights and gradients at each optimizer step, and what the loss saw."""

    def __init__(self, trainer):
        self.calls, self.grads, real = [], [], trainer.compute_loss

        def spy(model, inputs, **kwargs):
            weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
            loss = real(model, inputs, **kwargs)
            self.calls.append((weights, {k: v.clone() if torch.is_tensor(v) else v for k, v in inputs.items()}, loss.item()))
            return loss

        trainer.compute_loss = spy

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.grads.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    session = build(experiment(folder), tmp_path_factory.mktemp("scripted") / "run")
    stirred(session.student)
    seen = Seen(session.trainer)
    session.trainer.add_callback(seen)
    session.train()
    return session, seen


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
    shutil.copytree(session.run.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "checkpoint-2")
    again = build(experiment(folder), tmp_path / "run", resume=True)
    again.train(resume=True)
    assert again.trainer.state.global_step == 2
    mine, theirs = (list(s.run.read("rollouts")) for s in (again, session))
    assert [r["text"] for r in mine] == [r["text"] for r in theirs]
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
        other = make_llama(tmp_path / "other", hidden=32, inner=64, layers=1, heads=4, kv_heads=2, ends=0.6)
    last = tmp_path / "run" / "checkpoints" / "checkpoint-2" / "adapter_config.json"
    last.write_text(last.read_text().replace(str(folder), str(other)))
    with pytest.raises(RunError, match=r"is not the student that was trained.*nats a token"):
        save(tmp_path / "run", "merged", tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


TEACHERS = {
    "self": {"backend": "self", "max_tokens": 8},
    "continuation": {"backend": "continuation", "template": "{question} {response}", "head": "I check:", "max_tokens": 8},
    "local": {"backend": "local", "model": "FOLDER", "max_tokens": 8},
    "human": {"backend": "human", "folder": "TMP/inbox"},
    "replay": {"backend": "replay", "run": "RUN"},
    "anthropic": {"backend": "anthropic", "base_url": "URL"},
    "openai": {"backend": "openai", "model": "m", "base_url": "URL/v1", "key_env": "OPENAI_API_KEY"},
}


@pytest.mark.parametrize("name", TEACHERS)
def test_a_run_of_two_steps_with_each_kind_of_teacher(name, folder, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Server() as server:
        places = {"FOLDER": str(folder), "TMP": str(tmp_path), "RUN": str(trained[0].run.path), "URL": server.url}
        options = dict(TEACHERS[name])
        for key, value in options.items():
            for mark, place in places.items():
                options[key] = value = value.replace(mark, place) if isinstance(value, str) else value
        session = build(experiment(folder, options, checkpoint_every=0), tmp_path / "run")
        if name == "replay":
            stirred(session.student)  # so that the same answers come
        session.train()
    rows = list(session.run.read("rollouts"))
    asked = [r["guidance"] for r in rows if r["guidance"]]
    assert session.trainer.state.global_step == 2 and len(rows) == 4 and asked
    reasons = {g["reason"] for g in asked if g["status"] == "rejected"}
    assert not reasons & {"prompt-too-long", "teacher-failed", "bad-request", "connection"}, reasons
    if name in ("anthropic", "openai", "replay"):
        assert [g["status"] for g in asked] == ["accepted"] * len(asked)
    if name in ("self", "continuation", "local"):
        assert all(g["usage"]["output_tokens"] > 0 for g in asked)
    if name == "human":
        assert reasons == {"waiting"} and (tmp_path / "inbox" / "requests.jsonl").exists()


def ask(text="2+3?", tokens=6):
    return [
        TeacherRequest(
            id=str(k),
            messages=({"role": "user", "content": q},),
            example=Example("1", q, "5"),
            response="5",
            behavior="short-check",
            max_tokens=tokens,
        )
        for k, q in enumerate([text, "4"])
    ]


def test_a_local_teacher_beside_the_student_replies_as_it_would_alone(folder, student, monkeypatch):
    """Its classes are the student's, whose methods Unsloth has replaced: without care its cache stays empty."""
    teacher = load_teacher("local", model=str(folder), max_tokens=6)
    teacher.check()
    mine = [(r.text, r.usage) for r in teacher.reply(ask())]
    with unpatched():
        alone = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        theirs = resident._generate(alone, student.tokenizer, ask(), "x", 6, 0, 1000)
    assert mine == [(r.text, r.usage) for r in theirs] and all(usage.output_tokens for _, usage in mine)
    monkeypatch.setattr(resident, "unpatched", lambda: __import__("contextlib").nullcontext())
    with pytest.raises(TeacherError, match="known text"):
        load_teacher("local", model=str(folder)).check()


def test_a_prompt_that_the_kernels_would_cut_off_is_refused(student):
    """The kernels are ready for 500 tokens here; Unsloth drops the rest of a longer prompt with no more than a warning."""
    assert student.max_positions == 500
    long, short = load_teacher("self", student=student, max_tokens=6).reply(ask("1+2 " * 200))
    assert long.error == "prompt-too-long" and "room for 500" in long.detail and short.error != "prompt-too-long"


def test_the_longest_batch_generates_and_leaves_the_model_as_it_found_it(folder, tmp_path, monkeypatch):
    session = build(experiment(folder, gradient_checkpointing=True), tmp_path / "run")
    model, trainer = session.trainer.model, session.trainer
    model.for_training(use_gradient_checkpointing=False)
    made, real = [], model.generate
    for found in ("training", "inference"):
        if found == "inference":
            model.for_inference()
        state = {n: longest_batch._settings(m) for n, m in model.named_modules()}
        side, config = trainer.processing_class.padding_side, dict(vars(model.config))
        monkeypatch.setattr(GenerateSampler, "__call__", _noting(made))
        longest_batch.try_longest_batch(trainer, session.config)
        monkeypatch.undo()
        after = {n: longest_batch._settings(m) for n, m in model.named_modules()}
        for name in state:
            assert state[name].keys() == after[name].keys(), (found, name)
            for key, value in state[name].items():
                assert after[name][key] is value or after[name][key] == value, (found, name, key)
        assert trainer.processing_class.padding_side == side and vars(model.config) == config
    assert made == [(1, 24, 2, 6)] * 2 and model.generate == real  # questions, prompt, answers to each, tokens of each


def _noting(made):
    real = Sampler.__call__

    def call(self, model, prompts, n=1, *args, **kwargs):
        answers = real(self, model, prompts, n, *args, **kwargs)
        made.extend({(len(prompts), len(prompts[0]), n, len(a)) for a in answers})
        return answers

    return call
