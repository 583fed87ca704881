"""The same trainer on Unsloth's regenerated ``GRPOTrainer``, without a GPU: ``make test-unsloth``, an environment of its own."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

if "unsloth" not in sys.modules:
    pytest.skip("needs the environment that `make test-unsloth` makes", allow_module_level=True)

import torch
from trl import GRPOTrainer
from unsloth import FastLanguageModel

from tests.method.test_trainer_formula import CASES, SHAPING, run, written_formula
from tests.method.test_trainer_formula import test_loss_and_gradients_equal_the_written_formula as formula_holds
from thinklab.aas import Shaping
from thinklab.config.experiment import StudentSection
from thinklab.errors import StudentError
from thinklab.students import unsloth as loader
from thinklab.trainer import ThinkTuningTrainer


def test_the_base_class_is_unsloth_s():
    assert GRPOTrainer.__name__ == "UnslothGRPOTrainer"
    assert GRPOTrainer in ThinkTuningTrainer.__mro__
    assert any(c.__module__ == GRPOTrainer.__module__ and c is not GRPOTrainer for c in ThinkTuningTrainer.__mro__)


def test_unsloth_s_compute_loss_would_bypass_the_shaping_and_is_taken_back():
    """The reason for the override: theirs never calls ``_compute_loss``, where the teacher's tokens are shaped."""
    base = next(c for c in ThinkTuningTrainer.__mro__ if c is not ThinkTuningTrainer and "compute_loss" in vars(c))
    assert base.__module__ == GRPOTrainer.__module__
    assert "self._compute_loss(" not in inspect.getsource(base.compute_loss)
    assert "compute_loss" in vars(ThinkTuningTrainer)


@pytest.mark.parametrize("case", ["dapo", "grpo, 4 iterations", "dapo, minibatches and accumulation"])
def test_loss_and_gradients_equal_the_written_formula(case, model, tokenizer):
    """Masked, negative and positive teacher tokens and clipped student tokens occur; the case checks that itself."""
    assert case in CASES and callable(written_formula)
    formula_holds(case, model, tokenizer)


def test_the_luffy_variant_differs_so_the_formula_test_can_fail(model, tokenizer):
    mine = run(model, tokenizer, SHAPING, max_steps=1).calls[0]
    other = run(model, tokenizer, Shaping("luffy"), max_steps=1).calls[0]
    assert any(not torch.allclose(a, b) for a, b in zip(mine[3], other[3], strict=True))


def test_the_loader_s_arguments_exist_in_unsloth():
    """A stub cannot tell whether Unsloth knows the arguments; its own signatures can."""
    source = inspect.getsource(loader.load)
    known = set(inspect.signature(FastLanguageModel.from_pretrained).parameters)
    for name in (
        "model_name",
        "max_seq_length",
        "dtype",
        "load_in_4bit",
        "load_in_16bit",
        "use_gradient_checkpointing",
        "random_state",
        "fast_inference",
        "max_lora_rank",
        "gpu_memory_utilization",
    ):
        assert name in known and name in source
    known = set(inspect.signature(FastLanguageModel.get_peft_model).parameters)
    for name in (
        "r",
        "lora_alpha",
        "lora_dropout",
        "target_modules",
        "bias",
        "use_gradient_checkpointing",
        "random_state",
        "max_seq_length",
        "init_lora_weights",
    ):
        assert name in known and f"{name}=" in source


def test_without_a_gpu_the_loader_says_what_is_wrong():
    """Here the import is allowed and the load is not: the user still gets one line."""
    from thinklab.students import TINY

    with pytest.raises((StudentError, AssertionError), match=r"cannot load|CUDA"):
        loader.load(StudentSection(kind="unsloth", path=str(TINY)))


DUMP = """
import json
from pathlib import Path
from thinklab.config.load import load_config
from thinklab.config.shipped import resource_dir
from thinklab.experiment.trl_arguments import grpo_config
args = grpo_config(load_config(resource_dir("examples") / "gsm8k.yaml", ["task.path=x", "train.micro_batch=4"]), Path("unused"))
print(json.dumps({k: repr(v) for k, v in vars(args).items()}))
"""


IDLE = {
    "torch_empty_cache_steps",
    "per_device_eval_batch_size",
    "eval_accumulation_steps",
    "generation_kwargs",
    "vllm_importance_sampling_correction",
}
"""Differ, and change nothing: there is no evaluation, no vLLM, and ``{}`` is what None means."""


def test_no_setting_differs_from_what_trl_alone_would_use():
    """Unsloth gives some options other defaults; the config spells out every one of those."""
    with_unsloth, alone = (
        json.loads(
            subprocess.run([sys.executable, "-c", first + DUMP], capture_output=True, text=True, check=True).stdout.splitlines()[
                -1
            ]
        )
        for first in ("import tests.support.unsloth_first\n", "")
    )
    different = {k: (alone[k], with_unsloth[k]) for k in alone if k in with_unsloth and alone[k] != with_unsloth[k]}
    assert set(different) <= IDLE and len(alone) > 150, different
