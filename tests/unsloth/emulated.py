"""What the tests under ``tests.support.unsloth_emulation`` share: a tiny model, a config, a student, a plain twin, a trained run."""

from __future__ import annotations

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, TrainerCallback

from tests.support.fake_server import KEY, Server
from tests.support.short_check import RULE, SHORT_CHECK
from tests.support.small_runs import guidance_of
from tests.support.tiny_llama import make_llama
from tests.support.unsloth_emulation import nf4
from thinklab.config.experiment import Experiment
from thinklab.experiment.build import build
from thinklab.students import load_student
from thinklab.teachers.unpatched import unpatched

SHAPE = {"hidden": 16, "inner": 32, "layers": 1, "heads": 2, "kv_heads": 1}
MESSAGES = [{"role": "user", "content": "2+3?"}]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """One layer, two heads that share a key: the interpreter's time goes with tokens times heads. An answer ends after some four tokens."""
    return make_llama(tmp_path_factory.mktemp("llama") / "m", **SHAPE, ends=0.25)


def experiment(folder, teacher=None, student=(), **train):
    return Experiment.model_validate(
        {
            "student": {"kind": "unsloth", "path": str(folder), "lora": {"r": 4, "alpha": 8}, **dict(student)},
            "task": {"name": "sums", "terms": [2, 2]},
            "behaviors": [str(SHORT_CHECK)],
            "teacher": teacher or {"backend": "scripted", "rule": RULE},
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


@pytest.fixture(scope="session")
def student(folder):
    return stirred(load_student("unsloth", str(folder), lora={"r": 4, "alpha": 8}, max_length=500))


@pytest.fixture(scope="session", params=["none", "nf4"])
def either(request, folder, student):
    """A student in float32 and one in 4 bits."""
    if request.param == "none":
        return student
    made = stirred(load_student("unsloth", str(folder), quantize="nf4", lora={"r": 4, "alpha": 8}, max_length=500))
    assert type(made.model.get_base_model().model.layers[0].self_attn.q_proj.base_layer) is Linear4bit
    return made


def plain_twin(folder, student):
    """transformers' and PEFT's own model with the same weights; its forward is called within ``unpatched``."""
    how = {"quantization_config": nf4()} if getattr(student.model, "is_loaded_in_4bit", False) else {}
    with unpatched():
        twin = get_peft_model(
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **how),
            LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
    weights = {n: p for n, p in student.model.named_parameters() if "lora_" in n}
    assert weights.keys() == {n for n, p in twin.named_parameters() if "lora_" in n}
    twin.load_state_dict({n: p.detach().clone() for n, p in weights.items()}, strict=False)
    return twin


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


@pytest.fixture(scope="session")
def trained(folder, tmp_path_factory):
    session = build(experiment(folder), tmp_path_factory.mktemp("scripted") / "run")
    stirred(session.student)
    seen = Seen(session.trainer)
    session.trainer.add_callback(seen)
    session.train()
    return session, seen


def two_steps(options, folder, tmp_path, monkeypatch, adapter=False, **places):
    """A run of two steps with the teacher ``options``; the guidance that was asked for, and the reasons of what was rejected."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Server() as server:
        for mark, place in {"FOLDER": folder, "TMP": tmp_path, "URL": server.url, **places}.items():
            options = {k: v.replace(mark, str(place)) if isinstance(v, str) else v for k, v in options.items()}
        session = build(experiment(folder, options, checkpoint_every=0, gradient_checkpointing=False), tmp_path / "run")
        if adapter:
            stirred(session.student)
        session.train()
    return guidance_of(session, answers=4)
