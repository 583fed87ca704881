"""What would go wrong beside an Unsloth student unnoticed, with stand-ins for its patches. The real ones: tests/unsloth."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from ruamel.yaml import YAML
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, LlamaForCausalLM

from tests.support.teacher_requests import two_requests
from thinklab.behavior.behavior import load_behavior
from thinklab.config.experiment import Experiment
from thinklab.config.load import load_config
from thinklab.config.shipped import resource_dir
from thinklab.errors import RunError, TeacherError
from thinklab.experiment import longest_batch as module
from thinklab.experiment.build import build
from thinklab.export.export import save
from thinklab.sampler import GenerateSampler, Sampler
from thinklab.students import TINY, load_student
from thinklab.teachers import TeacherRequest, load_teacher
from thinklab.types import Example

SKIPPED = ["lm_head", *(f"model.layers.0.mlp.{name}_proj" for name in ("gate", "up", "down"))]
SMALL = [
    "train.steps=2",
    "train.questions=2",
    "train.samples=2",
    "probe.questions=4",
    "probe.every=0",
    "guards.action=off",
    "train.checkpoint_every=0",
    "train.learning_rate=0.02",
    "train.warmup_steps=0",
    "train.decay=constant",
]


def config(*more):
    return load_config(resource_dir("examples") / "demo-self-check.yaml", [*SMALL, *more])


@pytest.fixture
def student():
    return load_student("embedded", lora={"r": 4, "alpha": 8})


# ---- teachers ------------------------------------------------------------------------------------------------------


def test_a_garbled_teacher_is_found_when_it_is_loaded(monkeypatch, student):
    """Unsloth's forward leaves a DynamicCache empty; each token is then chosen by the last token alone."""
    real = LlamaForCausalLM.forward
    monkeypatch.setattr(
        LlamaForCausalLM,
        "forward",
        lambda self, *a, past_key_values=None, attention_mask=None, **k: real(
            self, *a, **{**k, "use_cache": False, "position_ids": None}
        ),
    )
    for name, options in (
        ("local", {"model": str(TINY)}),
        ("self", {"student": student}),
        ("continuation", {"student": student, "template": "{response}"}),
    ):
        with pytest.raises(TeacherError, match="known text"):
            load_teacher(name, **options).check()


def test_teachers_pass_the_test_and_leave_the_model_as_it_was(student):
    student.model.train()
    before = torch.get_rng_state()
    for name, options in (("self", {}), ("continuation", {"template": "{response}"})):
        load_teacher(name, student=student, **options).check()
    load_teacher("local", model=str(TINY)).check()
    assert student.model.training and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name, options", [("self", {}), ("continuation", {"template": "{response}"})])
def test_a_teacher_in_an_unsloth_student_asks_its_own_generate(name, options, student, monkeypatch):
    """It is known by its switch."""
    student.model.for_inference, student.model.for_training = student.model.eval, student.model.train
    used = []
    for kind in (Sampler, GenerateSampler):
        monkeypatch.setattr(
            kind, "_sample", lambda self, *a, kind=kind, real=kind._sample, **k: used.append(kind) or real(self, *a, **k)
        )
    load_teacher(name, student=student, **options).reply(two_requests())
    assert set(used) == {GenerateSampler}


@pytest.mark.parametrize("name, options", [("self", {}), ("continuation", {"template": "{question}{response}"})])
def test_a_prompt_longer_than_the_kernels_are_ready_for_is_rejected(name, options, student):
    student.model.max_seq_length = 450
    assert student.max_positions == 450
    long, short = load_teacher(name, student=student, **options).reply(two_requests("1+2 " * 200))
    assert long.error == "prompt-too-long" and "limit is 450" in long.detail and short.error != "prompt-too-long"


@pytest.mark.parametrize("teacher", [{"backend": "self"}, {"backend": "continuation", "template": "x {response} " * 50}])
def test_the_teacher_s_own_prompt_counts_into_the_length(teacher):
    from thinklab.experiment.questions import kernel_length, longest

    behaviors = [load_behavior("self-check")]

    def settings(kind, **teacher):
        return Experiment.model_validate(
            {"student": {"kind": kind, "path": str(TINY)}, "behaviors": ["self-check"], "teacher": teacher}
        )

    c = settings("unsloth", **teacher)
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    if teacher["backend"] == "self":
        asked = load_teacher("self", student=load_student("embedded")).reply(
            [
                TeacherRequest(
                    id="1",
                    messages=tuple(behaviors[0].messages("", "")),
                    example=Example("1", "", ""),
                    response="",
                    behavior="self-check",
                    max_tokens=9999,
                )
            ]
        )
        prompt = [0] * int(asked[0].detail.split()[0])  # "N tokens and a reply of ...": too long for the tiny one
    else:
        prompt = tokenizer(teacher["template"])["input_ids"]
    whole = len(prompt) + c.train.max_prompt_tokens + c.train.max_completion_tokens + TeacherRequest.max_tokens
    assert whole <= kernel_length(c, behaviors) <= whole + 2
    for other in (settings("transformers", **teacher), settings("unsloth", backend="scripted")):
        assert kernel_length(other, behaviors) == longest(other)


def test_a_sampler_without_an_end_gives_full_length(model, tokenizer):
    prompts = tokenizer(["Say a line\n", "Tom has 12 figs.\n"])["input_ids"]
    for kind in (Sampler, GenerateSampler):
        assert [len(a) for a in kind(40, (), tokenizer.pad_token_id, 0.0)(model, prompts, 2)] == [40] * 4


# ---- the longest batch ---------------------------------------------------------------------------------------------------


def test_the_longest_batch_generates_and_restores_every_switch(tmp_path):
    """Stand-ins for Unsloth's switches: flags on the modules, the tokenizer's side, buffers that generation leaves behind."""
    session = build(config("train.gradient_checkpointing=true", "train.max_completion_tokens=20"), tmp_path / "run")
    model, tokenizer, made = session.trainer.model, session.trainer.processing_class, []
    model.gradient_checkpointing_enable()

    def switch(training):
        def to():
            model.train(training)
            tokenizer.padding_side = "right" if training else "left"
            for m in model.modules():
                if hasattr(m, "gradient_checkpointing"):
                    m.gradient_checkpointing = training
                m._flag_for_generation = not training
            model.config.use_cache = not training

        return to

    model.for_inference, model.for_training = switch(False), switch(True)
    real = model.generate
    model.generate = lambda **k: made.append((tuple(k["input_ids"].shape), k["max_new_tokens"], k["eos_token_id"])) or real(**k)
    session.trainer.sampler = session.student.sampler(20)
    assert isinstance(session.trainer.sampler, GenerateSampler)
    for start in (switch(True), switch(False)):
        start()
        for m in model.modules():
            del m._flag_for_generation
        before = [(module._settings(m), tokenizer.padding_side, model.config.use_cache) for m in model.modules()]
        module.try_longest_batch(session.trainer, session.config)
        assert [(module._settings(m), tokenizer.padding_side, model.config.use_cache) for m in model.modules()] == before
    assert made == [((4, 40), 20, [-1])] * 2  # 2 questions x 2 answers, prompts and answers of full length


# ---- exports -------------------------------------------------------------------------------------------------------


def test_merged_is_the_base_that_was_trained(tmp_path):
    """Unsloth trains on a 4-bit repository of its own, some of whose layers have 16 bits, not on the one that was asked for."""
    pytest.importorskip("bitsandbytes")
    stored = tmp_path / "stored"
    how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=SKIPPED)
    LlamaForCausalLM.from_pretrained(TINY, dtype=torch.float32, quantization_config=how).save_pretrained(stored)
    AutoTokenizer.from_pretrained(TINY).save_pretrained(stored)
    session = build(config(f"student={{kind: transformers, path: {stored}}}"), tmp_path / "run")
    session.train()
    yaml, file = YAML(), tmp_path / "run" / "config.yaml"  # as an Unsloth run would have written it
    written = yaml.load(file)
    written["config"]["student"] |= {"kind": "unsloth", "path": str(TINY), "quantize": "nf4"}
    yaml.dump(written, file)
    folder = save(tmp_path / "run", "merged", tmp_path / "merged")
    ids = torch.tensor([session.student.encode([{"role": "user", "content": "Tom has 12 figs and finds 4 more. How many?"}])])
    with torch.no_grad():
        mine = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(input_ids=ids).logits
        theirs = session.student.model.eval()(input_ids=ids).logits
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())


def test_an_adapter_on_another_base_is_found_out(tmp_path):
    """The hub's copy may change between the run and the export."""
    base = tmp_path / "base"
    shutil.copytree(TINY, base)
    session = build(config(f"student={{kind: transformers, path: {base}}}"), tmp_path / "run")
    session.train()
    save(tmp_path / "run", "merged", tmp_path / "fine")
    checkpoint = session.run.last_checkpoint()[0]
    assert len(json.loads((checkpoint / "thinklab.json").read_text())["fingerprint"]) > 20
    other = LlamaForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.05 * parameter.std() * torch.randn_like(parameter)
    other.save_pretrained(base)
    with pytest.raises(RunError, match=r"differs from the trained student.*nats per token"):
        save(tmp_path / "run", "merged", tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists() and not (tmp_path / "wrong.part").exists()
