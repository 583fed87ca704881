"""Who samples where the config leaves it open, and that the doctor says so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from thinklab.config.experiment import Experiment, VllmSection
from thinklab.experiment import doctor, sampling_choice
from thinklab.students import hf  # noqa: F401 - bitsandbytes looks for a GPU while it is imported, and a pretended one breaks it

GB = 2**30


def experiment(train=None, **student):
    return Experiment.model_validate({"behaviors": ["self-check"], "student": {"path": "m", **student}, "train": train or {}})


@pytest.fixture
def gpu(monkeypatch):
    def make(vllm=True, memory=80 * GB):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=memory))
        monkeypatch.setattr(sampling_choice, "installed", lambda name: vllm)

    return make


def chosen(config, started=None):
    found = sampling_choice.best(config, started)
    return found.student.fast_inference, found.train.vllm and found.train.vllm.mode


def test_the_order_where_vllm_is_installed(gpu):
    gpu()
    assert chosen(experiment(kind="unsloth")) == (True, None)
    assert chosen(experiment(kind="transformers")) == (False, "colocate")
    assert chosen(experiment(kind="unsloth", quantize="nf4")) == (False, None)  # a merge would ruin it
    assert chosen(experiment(kind="transformers", quantize="nf4")) == (False, None)
    assert chosen(experiment(kind="embedded")) == (False, None)
    Experiment.model_validate(sampling_choice.best(experiment(kind="unsloth")).model_dump())  # what is chosen is a valid config
    Experiment.model_validate(sampling_choice.best(experiment(kind="transformers")).model_dump())


def test_a_small_card_a_missing_vllm_and_a_cpu_sample_themselves(gpu):
    assert chosen(experiment(kind="unsloth")) == (False, None)
    gpu(memory=24 * GB)
    assert chosen(experiment(kind="transformers")) == (False, None) and chosen(experiment(kind="unsloth")) == (True, None)
    gpu(vllm=False)
    assert chosen(experiment(kind="unsloth")) == (False, None)


def test_what_the_config_says_is_left_alone_and_a_run_goes_on_as_it_began(gpu):
    gpu()
    assert chosen(experiment(kind="unsloth", fast_inference=False)) == (False, None)
    assert chosen(experiment(kind="transformers", train={"vllm": None})) == (False, None)
    before = experiment(kind="transformers", train={"vllm": None}).model_dump(mode="json")
    assert chosen(experiment(kind="transformers"), before) == (False, None)
    gpu(vllm=False)
    started = sampling_choice.best(experiment(kind="transformers", train={"vllm": VllmSection()})).model_dump(mode="json")
    assert chosen(experiment(kind="transformers"), started) == (False, "colocate")


def test_the_doctor_says_which_and_what_would_be_gained(gpu):
    def said(config):
        return [(f.what, f.advice) for f in doctor.used(config)]

    gpu()
    ((line, _),) = said(experiment(kind="unsloth"))
    assert "vLLM within Unsloth" in line
    gpu(vllm=False)
    (line, _), (note, advice) = said(experiment(kind="transformers", dtype="bfloat16"))
    assert "thinklab's sampler" in line and note == "sampling is by thinklab's sampler"
    assert "pip install 'thinklab[vllm]'" in advice and "train.vllm={mode: colocate}" in advice
    *_, (_, advice) = said(experiment(kind="unsloth", quantize="nf4"))
    assert "student.quantize=none student.fast_inference=true" in advice
