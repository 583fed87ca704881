"""In what a GPU computes: it follows the weights' type, whatever the card could do besides. The cards here are mocked."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from thinklab.config.experiment import Experiment
from thinklab.config.profiles import PROFILES
from thinklab.errors import ConfigError
from thinklab.experiment import doctor
from thinklab.experiment.trl_arguments import precision
from thinklab.students.make_tiny import build_tokenizer
from thinklab.teachers import load_teacher

CARDS = {
    "T4": (False, 14.6),
    "V100 16 GB": (False, 15.8),
    "RTX 4080": (True, 15.6),
    "RTX 8000": (False, 44.5),
    "L4": (True, 22.0),
    "H100": (True, 79.2),
}
"""Has it bf16, and GiB of memory as PyTorch reports them."""


@pytest.fixture
def card(monkeypatch):
    def become(name):
        bf16, size = CARDS[name]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i=0: type("P", (), {"total_memory": int(size * 2**30)})())
        return bf16

    return become


def experiment(profile=None, autocast=False, **student):
    return Experiment.model_validate(
        {"behaviors": ["self-check"], "profile": profile, "student": student, "train": {"autocast": autocast}}
    )


def test_a_profile_computes_in_what_unsloth_loads_on_every_card(card):
    """Unsloth raises TypeError for fp16 weights under bf16 and the reverse; given no dtype it takes bf16 where there is bf16."""
    for name in CARDS:
        bf16 = card(name)
        for profile in set(PROFILES) - {"tiny"}:
            config = experiment(profile, kind="unsloth")
            assert config.student.dtype == "auto"
            assert precision(config) == {"bf16": bf16, "fp16": not bf16}, (name, profile)


@pytest.mark.parametrize("kind", ["unsloth", "transformers"])
def test_float16_is_fp16_everywhere(card, kind):
    for name in CARDS:
        card(name)
        assert precision(experiment(kind=kind, path="x", dtype="float16")) == {"bf16": False, "fp16": True}, name


def test_bfloat16_on_a_card_without_it_is_one_error(card):
    card("L4")
    assert precision(experiment(kind="transformers", path="x", dtype="bfloat16")) == {"bf16": True, "fp16": False}
    card("T4")
    with pytest.raises(ConfigError, match=r"bfloat16, which this GPU does not have; set student\.dtype=auto"):
        precision(experiment(kind="transformers", path="x", dtype="bfloat16"))


def test_float32_stays_float32_unless_autocast_is_asked_for(card):
    card("L4")
    assert not any(precision(experiment(kind="transformers", path="x", dtype="float32")).values())
    assert not any(precision(experiment(kind="embedded")).values())  # which load_student loads in float32
    assert precision(experiment(kind="transformers", path="x", dtype="float32", autocast=True))["bf16"]
    card("T4")
    assert precision(experiment(kind="transformers", path="x", dtype="float32", autocast=True))["fp16"]


def test_weights_in_float16_cannot_themselves_be_trained(card):
    """PyTorch's scaler raises 'Attempting to unscale FP16 gradients' after the first paid batch."""
    card("T4")
    for dtype in ("auto", "float16"):
        with pytest.raises(ConfigError, match=r"student\.dtype=float32 with train\.autocast=true"):
            precision(experiment(kind="transformers", path="x", dtype=dtype, lora=None))
    assert precision(experiment(kind="transformers", path="x", dtype="float32", lora=None, autocast=True))["fp16"]


def test_the_doctor_recommends_by_memory(card):
    wanted = {"T4": "t4", "V100 16 GB": "16gb", "RTX 4080": "16gb", "RTX 8000": "24gb", "L4": "24gb", "H100": "80gb"}
    for name, profile in wanted.items():
        card(name)
        assert doctor.suggest() == profile, name


@pytest.mark.parametrize("name, dtype", [("T4", torch.float16), ("L4", "auto")])
def test_a_local_teacher_computes_in_what_the_card_has(name, dtype, card, tmp_path, monkeypatch):
    card(name)
    build_tokenizer().save_pretrained(tmp_path)
    asked = {}

    def load(path, **how):
        asked.update(how)
        raise OSError("far enough")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    teacher = load_teacher("local", model=str(tmp_path), bits=4)
    with pytest.raises(Exception, match="far enough"):
        teacher.check()
    assert asked["dtype"] == dtype
    assert asked["quantization_config"].bnb_4bit_compute_dtype == (torch.float16 if name == "T4" else torch.bfloat16)
