"""The Unsloth student against a stub of Unsloth; ``tests/unsloth`` checks the stub's signatures, ``tests/gpu`` the real thing."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaForCausalLM
from trl import GRPOTrainer

from thinklab.config.experiment import StudentSection
from thinklab.errors import StudentError
from thinklab.sampler import GenerateSampler, Sampler
from thinklab.students import TINY, load_student, unsloth_first


@pytest.fixture
def asked(monkeypatch):
    """What ``FastLanguageModel`` was asked for; it gives the embedded student with its adapter in bf16."""
    calls = {}

    class FastLanguageModel:
        @staticmethod
        def from_pretrained(**options):
            calls["load"] = options
            return LlamaForCausalLM.from_pretrained(TINY, dtype=torch.float32), AutoTokenizer.from_pretrained(TINY)

        @staticmethod
        def get_peft_model(model, **options):
            calls["lora"] = options
            model = get_peft_model(model, LoraConfig(r=options["r"], target_modules=options["target_modules"]))
            for p in model.parameters():
                if p.requires_grad:
                    p.data = p.data.bfloat16()
            model.for_inference = lambda: calls.setdefault("modes", []).append("inference") or model.eval()
            model.for_training = lambda: calls["modes"].append("training") or model.train()
            return model

    module = types.ModuleType("unsloth")
    module.FastLanguageModel = FastLanguageModel
    monkeypatch.setitem(sys.modules, "unsloth", module)
    return calls


def test_what_unsloth_is_asked_for(asked):
    student = load_student(
        "unsloth", str(TINY), quantize="nf4", dtype="float16", lora={"r": 4, "alpha": 8}, seed=3, max_length=99
    )
    load, lora = asked["load"], asked["lora"]
    assert load["load_in_4bit"] and not load["load_in_16bit"] and load["dtype"] is torch.float16 and load["max_seq_length"] == 99
    assert load["use_gradient_checkpointing"] == lora["use_gradient_checkpointing"] == "unsloth"
    assert load["fast_inference"] is False
    assert (lora["r"], lora["lora_alpha"], lora["random_state"]) == (4, 8, 3) and "down_proj" in lora["target_modules"]
    assert {p.dtype for p in student.model.parameters() if p.requires_grad} == {torch.float32}
    assert student.tokenizer.padding_side == "left" and student.kind == "unsloth"


def test_fast_inference_tells_vllm_the_rank_and_its_share(asked):
    load_student("unsloth", str(TINY), lora={"r": 8}, fast_inference=True, gpu_memory_utilization=0.4)
    assert {k: asked["load"][k] for k in ("fast_inference", "max_lora_rank", "gpu_memory_utilization")} == {
        "fast_inference": True,
        "max_lora_rank": 8,
        "gpu_memory_utilization": 0.4,
    }


def test_its_answers_come_from_its_own_generate_and_the_model_is_left_training(asked):
    student = load_student("unsloth", str(TINY), lora={"r": 4})
    sampler = student.sampler(24, temperature=0.0)
    assert isinstance(sampler, GenerateSampler)
    student.model.train()
    questions = "Tom has 12 figs and finds 4 more. How many?", "Say a line"
    prompts = [student.encode([{"role": "user", "content": q}]) for q in questions]
    mine = sampler(student.model, prompts, n=2)
    assert asked["modes"] == ["inference", "training"] and student.model.training
    plain = Sampler(24, student.eos_ids, student.tokenizer.pad_token_id, 0.0)(student.model.get_base_model(), prompts, n=2)
    assert mine == plain  # a fresh adapter changes nothing


def test_generate_sampler_is_seeded_and_leaves_no_trace(model, tokenizer):
    prompts = tokenizer(["Say a line\n", "Tom has 12 figs and finds 4 more. How many?\n"])["input_ids"]
    sampler = GenerateSampler(24, (tokenizer.eos_token_id,), tokenizer.pad_token_id)
    before = torch.get_rng_state()
    first, second, other = (sampler(model, prompts, n=6, seed=s) for s in (3, 3, 4))
    assert first == second != other and len(first) == 12 and torch.equal(torch.get_rng_state(), before)
    for ids in first:
        assert tokenizer.eos_token_id not in ids[:-1] and tokenizer.pad_token_id not in ids and 1 <= len(ids) <= 24


@pytest.mark.parametrize(
    "options, text",
    [
        ({"path": None}, r"student\.path is missing"),
        ({"path": "/nowhere"}, "no model folder"),
        ({"path": str(TINY), "lora": None}, "LoRA adapters only"),
        ({"path": str(TINY), "dtype": "float32"}, "no float32"),
    ],
)
def test_what_it_cannot_do_is_one_clear_error(asked, options, text):
    with pytest.raises(StudentError, match=text):
        load_student(StudentSection(kind="unsloth", **options))


def test_unsloth_must_come_first(monkeypatch):
    monkeypatch.delitem(sys.modules, "unsloth", raising=False)
    assert GRPOTrainer.__module__.split(".")[0] in sys.modules
    with pytest.raises(StudentError, match=r"trl, peft, transformers was imported before Unsloth.*import unsloth"):
        unsloth_first.import_first("unsloth")
    for name in unsloth_first.PATCHED:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "unsloth_zoo", None)
    monkeypatch.setattr("importlib.import_module", lambda name: (_ for _ in ()).throw(ImportError("No module named 'unsloth'")))
    with pytest.raises(StudentError, match=r"pip install 'thinklab\[unsloth\]'"):
        unsloth_first.import_first("unsloth")
    unsloth_first.import_first("embedded")  # nothing to do


def test_a_run_folder_says_which_student_it_had(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(unsloth_first, "import_first", seen.append)
    (tmp_path / "config.yaml").write_text("config: {student: {kind: unsloth}}\n")
    unsloth_first.import_first_for(tmp_path)
    unsloth_first.import_first_for(tmp_path / "nowhere")
    assert seen == ["unsloth"]


def test_nothing_that_unsloth_patches_is_imported_before_the_student_is_known():
    """The command line and the Lab read the config, then call ``import_first``: until then none of these may be there."""
    code = (
        "import sys, thinklab, thinklab.cli.app, thinklab.lab.lab; thinklab.load_student; "
        "from thinklab.config.load import load_config; "
        "from thinklab.config.shipped import resource_dir; load_config(resource_dir('examples') / 'gsm8k.yaml', [], 't4'); "
        f"print([m for m in {unsloth_first.PATCHED!r} if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
