"""The doctor names what is wrong and how to mend it, and fails exactly when a run would."""

from __future__ import annotations

from importlib import metadata

import pytest
import torch
from packaging.requirements import Requirement
from typer.testing import CliRunner

from thinklab.cli.app import app
from thinklab.config.experiment import Experiment
from thinklab.config.shipped import resource_dir
from thinklab.experiment import doctor

DEMO = str(resource_dir("examples") / "demo-self-check.yaml")
SMALL = ["train.questions=2", "train.samples=4", "probe.questions=8"]


def call(*args):
    result = CliRunner().invoke(app, ["doctor", *args])
    return result.exit_code, " ".join(result.output.split())


def problems(config=None, quick=True):
    return [f for f in doctor.examine(config, quick) if f.level == "problem"]


def experiment(**sections):
    return Experiment.model_validate({"behaviors": ["self-check"], **sections})


def test_a_cpu_box_is_told_what_it_can_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    code, text = call("--quick")
    assert (
        code == 0 and "no GPU" in text and "profile for this machine: tiny" in text and f"trl {metadata.version('trl')}" in text
    )
    assert "No problem found that would stop a run" in text and "tokens per second" not in text


def test_a_config_is_tried_for_real(monkeypatch):
    code, text = call(DEMO, *SMALL)
    assert code == 0, text
    assert "the embedded student, float32, LoRA r=16" in text and "thinklab's sampler; 2 questions x 4 answers" in text
    assert "the longest batch fits (8 x 172 tokens" in text and "tokens per second with 4 answers at once" in text


def test_what_the_run_would_stumble_over_is_found_by_building_it():
    code, text = call(DEMO, *SMALL, "train.max_prompt_tokens=5")
    assert code == 1 and "FAIL" in text and "train.max_prompt_tokens=5" in text and "A run would fail: 1 problem above" in text


def test_the_t4_profile_on_a_machine_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, text = call("--profile", "t4")
    assert code == 1 and "needs an NVIDIA GPU" in text and "--profile tiny" in text and "4-bit nf4" in text


def test_a_version_outside_its_range_is_a_note_and_no_problem(monkeypatch):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "9.9.9" if name == "trl" else real(name))
    found = [f for f in doctor.examine(None, quick=True) if "trl 9.9.9" in f.what]
    (pin,) = [one for line in metadata.requires("thinklab") if (one := Requirement(line)).name == "trl" and one.marker is None]
    assert [f.level for f in found] == ["note"] and found[0].what.endswith("is outside the range of this version of thinklab")
    assert all(str(bound) in found[0].what and str(bound) in found[0].advice for bound in pin.specifier)
    assert found[0].advice.startswith("pip install 'trl>=") and not problems()


def test_a_version_that_the_extra_of_the_config_pins_is_a_problem(monkeypatch):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: {"trl": "1.15.0", "unsloth": "1"}.get(name) or real(name))
    found = problems(experiment(student={"kind": "unsloth", "path": "me/model"}))
    text = " ".join(f"{f.what}: {f.advice}" for f in found)
    assert "trl 1.15.0 (tested: ==1.14.2) is outside" in text and "pip install 'trl==1.14.2'" in text
    assert "unsloth 1 (supported: ==" in text


def test_a_missing_package_is_a_problem(monkeypatch):
    def version(name):
        if name == "plotly":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    real = metadata.version
    monkeypatch.setattr(metadata, "version", version)
    (found,) = problems()
    assert found.what == "plotly is not installed" and found.advice.startswith("pip install 'plotly>=")


@pytest.fixture
def t4(monkeypatch):
    """What PyTorch says on a T4 of which half is taken."""
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "mem_get_info": lambda i=0: (7 * 2**30, 15 * 2**30),
        "get_device_capability": lambda i=0: (7, 5),
        "get_device_name": lambda i=0: "Tesla T4",
        "is_bf16_supported": lambda including_emulation=True: including_emulation,
        "get_device_properties": lambda i=0: type("P", (), {"total_memory": 15 * 2**30})(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)


def test_a_t4(t4):
    found = list(doctor.examine(None, quick=True))
    text = "\n".join(f.what for f in found)
    assert "Tesla T4, compute capability 7.5, no bf16, 7.0 GB of 15.0 GB free" in text
    assert "8.0 GB of GPU 0 are already in use" in text and "profile for this machine: t4" in text
    wrong = problems(experiment(student={"kind": "transformers", "path": "me/model", "dtype": "bfloat16"}))
    assert any("bfloat16, which this GPU does not have" in f.what and "float16" in f.advice for f in wrong)


def test_a_driver_without_a_cuda_build_of_pytorch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    found = problems()
    assert len(found) == 1 and "finds no GPU" in found[0].what and "PyTorch's build" in found[0].advice


@pytest.mark.parametrize(
    "student, text",
    [
        ({"kind": "transformers"}, "student.path is missing"),
        ({"kind": "transformers", "path": "./nowhere"}, "no model in ./nowhere"),
        ({"kind": "transformers", "path": "me/model", "dtype": "float16"}, "training on a CPU"),
    ],
)
def test_a_student_that_cannot_be(student, text, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert any(text in f.what for f in problems(experiment(student=student)))
