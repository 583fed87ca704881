"""The real thing: a local Llama loaded in 4 bit by Unsloth, trained, saved, merged, reloaded. Needs an NVIDIA GPU and Unsloth.

Run in a process of its own, since Unsloth must be imported first:

    python -m pytest -p tests.support.gpu_first tests/gpu

Without a GPU, `make test-unsloth` rehearses the same tests in a tiny shape under ``tests.support.unsloth_emulation``.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

if "tests.support.unsloth_emulation" not in sys.modules and not torch.cuda.is_available():
    pytest.skip("needs an NVIDIA GPU", allow_module_level=True)
if "unsloth" not in sys.modules:
    pytest.skip("needs Unsloth, imported first: python -m pytest -p tests.support.gpu_first tests/gpu", allow_module_level=True)

from tests.support.short_check import RULE, SHORT_CHECK
from tests.support.tiny_llama import make_llama
from thinklab.config.experiment import Experiment
from thinklab.experiment.build import build
from thinklab.export.export import save
from thinklab.run.folder import RunFolder
from thinklab.teachers.unpatched import unpatched

pytestmark = pytest.mark.gpu
EMULATED = "tests.support.unsloth_emulation" in sys.modules
STEPS = 2 if EMULATED else 3
SHAPE = {"hidden": 256, "inner": 512, "layers": 4, "heads": 8, "kv_heads": 4, "ends": 0.06}
if EMULATED:
    HALF, SHAPE = "auto", {"hidden": 16, "inner": 32, "layers": 1, "heads": 2, "kv_heads": 1, "ends": 0.25}
else:
    HALF = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with unpatched():  # in the rehearsal another file may have loaded a student before
        return make_llama(tmp_path_factory.mktemp("llama"), **SHAPE)


FEW = {"questions": 1, "samples": 2, "micro_batch": 2, "max_prompt_tokens": 24, "max_completion_tokens": 6}


def experiment(folder, **train):
    return Experiment.model_validate(
        {
            "student": {"kind": "unsloth", "path": str(folder), "dtype": HALF, "quantize": "nf4", "lora": {"r": 16, "alpha": 32}},
            "task": {"name": "sums", "terms": [2, 4]},
            "behaviors": [str(SHORT_CHECK)] if EMULATED else ["self-check"],
            "teacher": {"backend": "scripted", "rule": RULE if EMULATED else "sums-check"},
            "guidance": {"gamma": 1 if EMULATED else 2, "max_tokens": 200},
            "guards": {"action": "off"},
            "probe": {"questions": 8, "every": 0},
            "reward": {"require_finished": False},
            "train": {
                "steps": STEPS,
                "questions": 2,
                "samples": 4,
                "micro_batch": 4,
                "max_prompt_tokens": 120,
                "max_completion_tokens": 48,
                "learning_rate": 1e-3,
                "warmup_steps": 0,
                "checkpoint_every": STEPS,
                **(FEW if EMULATED else {}),
                **train,
            },
        }
    )


def gradients(model, loss):
    """(loss, gradient of each trained parameter or None); what has been accumulated in ``grad`` stays."""
    leaves = [p for p in model.parameters() if p.requires_grad]
    held = [p.grad for p in leaves]
    for p in leaves:
        p.grad = None
    loss.backward()
    found = [None if p.grad is None else p.grad.float().clone() for p in leaves]
    for p, grad in zip(leaves, held, strict=True):
        p.grad = grad
    return loss.item(), found


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A few updates; each loss call's inputs, loss and LoRA gradients are kept.

    By ``.backward()``: under Unsloth's checkpointing ``torch.autograd.grad`` gives None for every leaf.
    """
    session = build(experiment(folder), tmp_path_factory.mktemp("run") / "run")
    calls, real = [], session.trainer.compute_loss

    def spy(model, inputs, **kwargs):
        weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        seen = {k: v.clone() if torch.is_tensor(v) else v for k, v in inputs.items()}
        # without a scaler's factor in it: the trainer's own backward comes after, on a forward pass of its own
        calls.append((weights, seen, *gradients(model, real(model, dict(inputs), **kwargs))))
        return real(model, inputs, **kwargs)

    session.trainer.compute_loss = spy
    before = {n: p.detach().clone() for n, p in session.trainer.model.named_parameters() if p.requires_grad}
    session.train()
    return session, calls, before


def test_it_is_loaded_in_4_bit_with_its_adapter_in_fp32(trained):
    session, _, _ = trained
    layer = session.trainer.model.get_base_model().model.layers[0].self_attn.q_proj
    assert type(layer.base_layer).__name__ == "Linear4bit"
    assert {p.dtype for p in session.trainer.model.parameters() if p.requires_grad} == {torch.float32}
    if not EMULATED:
        assert session.fits is not None and session.fits.peak_bytes > 0  # the longest batch was tried


def test_the_updates_move_the_adapter_and_stay_finite(trained):
    session, calls, before = trained
    assert session.trainer.state.global_step == STEPS and len(calls) >= STEPS
    after = {n: p for n, p in session.trainer.model.named_parameters() if p.requires_grad}
    assert all(torch.isfinite(p).all() for p in after.values())
    assert sum(not torch.equal(before[n], after[n]) for n in after) > len(after) / 2
    lines = list(session.run.read("metrics"))
    assert len(lines) == STEPS and all(line["loss"] == line["loss"] for line in lines)


def test_loss_and_gradients_equal_the_formula_within_half_precision(trained):
    """Against full logits from the same 4-bit model, one sequence at a time without padding, the formula written out."""
    session, calls, _ = trained
    model, shaping, compared = session.trainer.model, session.trainer.shaping, 0
    model.for_training()
    for weights, seen, loss, grads in calls:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in weights:
                    parameter.copy_(weights[name])
        total = 0.0
        for row in range(len(seen["completion_ids"])):
            prompt = seen["prompt_ids"][row][seen["prompt_mask"][row].bool()]
            answer = seen["completion_ids"][row][seen["completion_mask"][row].bool()]
            with session.trainer.accelerator.autocast():
                hidden = model.get_base_model().model(input_ids=torch.cat([prompt, answer])[None]).last_hidden_state[0]
                logits = model.get_base_model().lm_head(hidden)
            every = (logits.float() / session.trainer.temperature).log_softmax(-1)[len(prompt) - 1 : -1]
            logps, advantage = every.gather(-1, answer[:, None])[:, 0], seen["advantages"][row]
            teacher = seen["teacher_mask"][row, : len(answer)].bool()
            pi = logps.exp()
            c = shaping.c_max * (advantage / shaping.a_max).clamp(-1, 1)
            shaped = -advantage * pi / (pi.detach() + c)
            if advantage < 0:
                shaped = torch.where(pi.detach() < shaping.floor, 0.0 * pi, shaped)
            plain = -advantage * (logps - logps.detach()).exp()  # on-policy: the ratio is 1
            total = total + torch.where(teacher, shaped, plain).sum()
            compared += int(teacher.sum())
        accumulation = session.trainer.args.gradient_accumulation_steps
        expected = total / (seen["num_items_in_batch"] * accumulation / session.trainer.args.steps_per_generation)
        assert loss == pytest.approx(expected.item(), rel=0.05, abs=0.02)
        theirs = gradients(model, expected)[1]
        assert any(g is not None for g in grads) and [g is None for g in grads] == [t is None for t in theirs]
        mine = torch.cat([g.flatten() for g, t in zip(grads, theirs, strict=True) if g is not None and t is not None])
        theirs = torch.cat([t.float().flatten() for g, t in zip(grads, theirs, strict=True) if g is not None and t is not None])
        assert torch.nn.functional.cosine_similarity(mine, theirs, dim=0) > 0.99
        assert (mine.norm() / theirs.norm()).item() == pytest.approx(1, abs=0.05)
    assert compared > 0, "no teacher token in the calls that were compared"


RELOADED = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, result, *ids = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to("cuda" if torch.cuda.is_available() else "cpu")
ids = torch.tensor([list(map(int, ids))], device=model.device)
pad = AutoTokenizer.from_pretrained(folder).pad_token_id
with torch.no_grad():
    logits = model(input_ids=ids).logits[0].float()
torch.save((logits.cpu(), model.generate(input_ids=ids, max_new_tokens=8, do_sample=False, pad_token_id=pad).cpu()), result)
"""


def test_saved_merged_reloaded_it_says_the_same(trained, tmp_path):
    session, _, _ = trained
    folder = save(RunFolder.open(session.run.path), "merged", tmp_path / "merged")
    question = [{"role": "user", "content": "Tom has 12 figs and finds 4 more. How many?"}]
    live = session.trainer.model
    ids = torch.tensor([session.student.encode(question)], device=live.device)
    live.for_inference()
    with torch.no_grad(), session.trainer.accelerator.autocast():
        theirs = live(input_ids=ids).logits[0].float().log_softmax(-1)
    # in a process of its own, as its user would: in this one Unsloth has replaced the methods of its classes
    result = tmp_path / "said.pt"
    subprocess.run([sys.executable, "-c", RELOADED, str(folder), str(result), *map(str, ids[0].tolist())], check=True)
    mine, out = torch.load(result)
    mine, theirs = mine.log_softmax(-1), theirs.cpu()
    gap = (mine.exp() * (mine - theirs)).sum(-1).max().item()
    assert gap < 0.01, f"KL of {gap} nats between the merged model and the 4-bit one"
    assert out.shape[1] > ids.shape[1]


def test_its_own_generation_is_seeded_and_answers_end(trained):
    session, _, _ = trained
    prompts = [session.student.encode([{"role": "user", "content": "Say a line"}])] * 2
    sampler = session.student.sampler(16)
    assert sampler(session.student.model, prompts, 4, 7) == sampler(session.student.model, prompts, 4, 7)
