"""An Apple GPU is used where there is one, and a config that needs CUDA says so at its line; both by what PyTorch reports."""

from __future__ import annotations

import pytest
import torch

from thinklab.config.experiment import Experiment
from thinklab.config.hardware import best_device, check_device, gpu_random_state, set_gpu_random_state
from thinklab.config.load import load_config
from thinklab.errors import ConfigError
from thinklab.experiment import doctor
from thinklab.experiment.check_lines import check_lines
from thinklab.experiment.trl_arguments import precision, training_arguments
from thinklab.teachers.resident import LocalTeacher

NEEDY = {
    "student.kind": {"student": {"kind": "unsloth", "path": "m"}},
    "student.fast_inference": {"student": {"kind": "unsloth", "path": "m", "fast_inference": True}},
    "train.vllm": {"student": {"kind": "transformers", "path": "m"}, "train": {"vllm": {}}},
    "student.quantize": {"student": {"kind": "transformers", "path": "m", "quantize": "nf4"}},
}


def experiment(**sections):
    return Experiment.model_validate({"behaviors": ["self-check"], **sections})


@pytest.fixture(params=["cuda", "mps", "cpu"])
def device(request, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param == "cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: request.param == "mps")
    return request.param


@pytest.fixture
def mac(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def test_the_best_device_is_used(device, tmp_path):
    assert best_device() == best_device("transformers") == device
    assert best_device("embedded") == ("cpu" if device == "mps" else device)
    assert LocalTeacher("m").device == device and LocalTeacher("m", device="cpu").device == "cpu"
    for kind, path in (("transformers", "m"), ("embedded", None)):
        arguments = training_arguments(experiment(student={"kind": kind, "path": path}), tmp_path, 1)
        assert arguments["use_cpu"] == (best_device(kind) == "cpu")


def test_a_student_goes_to_the_apple_gpu_and_the_embedded_one_does_not(mac, monkeypatch):
    from thinklab import load_student
    from thinklab.students import TINY

    moved = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *args, **kwargs: moved.append(args[0]) or self)
    load_student("transformers", str(TINY), lora=None)
    assert "mps" in moved
    moved.clear()
    load_student("embedded", lora=None)
    assert "mps" not in moved


def test_an_apple_gpu_computes_in_float32_and_its_random_state_is_kept(mac, monkeypatch):
    assert precision(experiment(student={"kind": "transformers", "path": "m"})) == {"bf16": False, "fp16": False}
    states = [torch.tensor([1])]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)
    kept = gpu_random_state()
    states.append(torch.tensor([2]))
    set_gpu_random_state(kept)
    assert states[-1].item() == 1


def test_the_doctor_says_that_it_is_unverified(mac):
    found = [f for f in doctor.examine(None, quick=True) if "Apple GPU" in f.what]
    assert [f.level for f in found] == ["note"] and "unverified" in found[0].what and doctor.suggest() == "tiny"


@pytest.mark.parametrize("key", NEEDY)
def test_what_needs_cuda_says_so(key, device):
    config = experiment(**NEEDY[key])
    if device == "cuda" or (key == "student.quantize" and device == "cpu"):  # bitsandbytes works on a CPU
        check_device(config)
        return
    named = "student.kind" if config.student.kind == "unsloth" else key
    with pytest.raises(ConfigError, match=rf"^{named}: .*{named}.*which needs an NVIDIA GPU \(CUDA\).*\. Use "):
        check_device(config)
    wrong = [f.what for f in doctor.examine(config, quick=True) if f.level == "problem" and "CUDA" in f.what]
    assert any(key in what for what in wrong) and all("PyTorch finds" in what for what in wrong)


def test_a_command_names_the_line_or_the_override(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    file = tmp_path / "e.yaml"
    file.write_text("name: e\nbehaviors: [self-check]\nstudent:\n  path: m\n  kind: unsloth\n")
    with pytest.raises(ConfigError, match=r"e\.yaml:5:3: student\.kind is unsloth, which needs an NVIDIA GPU \(CUDA\)"):
        load_config(file, check=check_lines)
    changed = ["student.kind=transformers", "train.vllm={mode: colocate}"]
    with pytest.raises(ConfigError, match=r"^override 'train\.vllm=\{mode: colocate\}': train\.vllm samples with vLLM"):
        load_config(file, changed, check=check_lines)


def test_a_lab_says_it_before_it_loads_anything(monkeypatch, tmp_path):
    from thinklab import Lab

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^student\.kind: student\.kind is unsloth, which needs an NVIDIA GPU"):
        Lab("gsm8k", out=tmp_path / "run", overrides=["student.kind=unsloth", "student.path=m"])


def test_four_bits_of_a_local_teacher_on_a_mac(mac):
    with pytest.raises(ConfigError, match=r"bits: 4 does not work on an Apple GPU \(mps\); set bits=16"):
        LocalTeacher("m", bits=4)
