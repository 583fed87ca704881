"""Profiles: what they fill in, and that the config's own keys win."""

from __future__ import annotations

import pytest
import torch

from thinklab.config.experiment import Experiment
from thinklab.config.load import load_config
from thinklab.config.profiles import PROFILES, apply_profile
from thinklab.config.shipped import resource_dir
from thinklab.errors import ConfigError
from thinklab.students import load_student

BASE = {"behaviors": ["self-check"]}


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_makes_a_valid_experiment(name):
    config = Experiment.model_validate({**BASE, "profile": name})
    assert config.profile == name
    assert config.student.lora is not None and config.train.samples == 8
    wanted = PROFILES[name]
    for section, keys in wanted.items():
        for key, value in keys.items():
            found = getattr(getattr(config, section), key)
            assert found == value if key != "lora" else (found.r, found.alpha) == (value["r"], value["alpha"])


def test_a_gpu_s_profile_leaves_the_precision_to_the_card():
    """tests/experiment/test_gpu_precision.py: what it then is."""
    assert {p["student"]["dtype"] for n, p in PROFILES.items() if n != "tiny"} == {"auto"}


def test_the_goal_of_the_t4_profile():
    """n = 8, 512 + 1,024 tokens, guidance 256, 4-bit, r = 16: what the 14.5 GB goal is about."""
    c = Experiment.model_validate({**BASE, "profile": "t4"})
    t = c.train
    assert (t.samples, t.max_prompt_tokens, t.max_completion_tokens, c.guidance.max_tokens) == (8, 512, 1024, 256)
    assert (c.student.quantize, c.student.lora.r) == ("nf4", 16)


def test_the_config_s_own_keys_win_and_the_input_is_not_changed():
    raw = {**BASE, "student": {"lora": None}, "train": {"samples": 4, "micro_batch": None}}
    merged = apply_profile(raw, "24gb")
    assert merged["student"]["lora"] is None and merged["student"]["kind"] == "unsloth"
    assert merged["train"]["samples"] == 4 and merged["train"]["micro_batch"] is None
    assert merged["train"]["max_completion_tokens"] == 1024
    assert "profile" not in raw and raw["train"] == {"samples": 4, "micro_batch": None}
    merged["train"]["samples"] = 99
    assert PROFILES["24gb"]["train"]["samples"] == 8


@pytest.mark.parametrize("student", ["embedded", {"kind": "embedded"}])
def test_an_embedded_student_keeps_its_own_precision(student):
    config = Experiment.model_validate({**BASE, "student": student, "profile": "t4"})
    assert (config.student.kind, config.student.dtype, config.student.quantize) == ("embedded", "auto", "none")
    assert config.train.max_completion_tokens == 1024


def test_a_transformers_student_takes_the_profile_s_precision():
    config = Experiment.model_validate({**BASE, "student": {"kind": "transformers", "path": "X"}, "profile": "t4"})
    assert (config.student.kind, config.student.path, config.student.dtype, config.student.quantize) == (
        "transformers",
        "X",
        "auto",
        "nf4",
    )


def test_a_resolved_config_reads_back_as_itself():
    config = Experiment.model_validate({**BASE, "profile": "24gb", "train": {"samples": 4}})
    assert Experiment.model_validate(config.model_dump(mode="json")) == config


def test_load_config_takes_the_name_and_overrides_win():
    path = resource_dir("examples") / "gsm8k.yaml"
    config = load_config(path, ["train.micro_batch=4"], profile="24gb")
    assert (config.student.quantize, config.student.kind, config.train.micro_batch) == ("nf4", "transformers", 4)
    assert config.train.learning_rate == 0.00002
    assert load_config(path).profile is None


def test_unknown_names_are_one_clear_error():
    with pytest.raises(ConfigError, match=r"unknown profile '24g' \(did you mean '24gb'\?\); known: tiny, t4, 16gb, 24gb, 80gb"):
        load_student(profile="24g")
    with pytest.raises(ConfigError, match="unknown profile"):
        load_config(resource_dir("examples") / "gsm8k.yaml", ["profile=t5"])


def test_load_student_by_profile():
    student = load_student(profile="tiny")
    assert student.kind == "embedded"
    assert {p.dtype for p in student.model.parameters() if p.requires_grad} == {torch.float32}
    with pytest.raises(ConfigError, match=r"student\.quantise"):
        load_student("embedded", quantise="nf4")
