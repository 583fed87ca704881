"""Two visible GPUs: a plain launch trains on one and says how to use both; a distributed launch is refused before it writes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.method.test_trainer_formula import SHAPING, run
from thinklab.config import devices
from thinklab.config.load import load_config
from thinklab.config.shipped import resource_dir
from thinklab.errors import ConfigError
from thinklab.experiment import doctor
from thinklab.experiment.baselines.fit import Imitation, sft_config
from thinklab.experiment.build import build
from thinklab.experiment.train import run_experiment
from thinklab.experiment.trl_arguments import grpo_config

SMALL = [
    "train.steps=1",
    "train.questions=2",
    "train.samples=2",
    "probe.questions=2",
    "probe.every=0",
    "guards.action=off",
    "train.checkpoint_every=0",
]


def config(*more):
    return load_config(resource_dir("examples") / "demo-self-check.yaml", [*SMALL, *more])


@pytest.fixture
def two_gpus(monkeypatch):
    """What transformers finds in a plain launch where two are visible."""
    from transformers import TrainingArguments

    real = TrainingArguments._setup_devices.func

    def found(args):
        device = real(args)
        args._n_gpu = 2
        return device

    prop = type(TrainingArguments.__dict__["_setup_devices"])(found)
    prop.__set_name__(TrainingArguments, "_setup_devices")
    monkeypatch.setattr(TrainingArguments, "_setup_devices", prop)


def test_the_trainer_takes_one(two_gpus, model, tokenizer):
    """nn.DataParallel ended in an AttributeError (``_forward_redirection``) after the first batch had been sampled and guided."""
    trainer = run(model, tokenizer, SHAPING, max_steps=1)
    assert trainer.args.n_gpu == 1 and not isinstance(trainer.model_wrapped, torch.nn.DataParallel) and len(trainer.calls) == 1


def test_so_do_the_configs_of_a_run_and_of_a_baseline(two_gpus, tmp_path):
    assert grpo_config(config(), tmp_path).n_gpu == 1
    baseline = SimpleNamespace(config=config("loss.method=grpo", "baseline={kind: sft}"), run=None)  # what it reads of a session
    assert sft_config(Imitation.of_baseline(baseline), tmp_path, 2).n_gpu == 1


def test_a_run_and_the_doctor_say_how_to_use_both(tmp_path, monkeypatch):
    assert devices.unused() == ""
    said = []
    with monkeypatch.context() as two:
        two.setattr("thinklab.config.devices.unused", lambda: "2 GPUs are visible")
        run_experiment(config(), tmp_path / "run", say=said.append)
    assert "2 GPUs are visible" in said
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "mem_get_info": lambda i=0: (15 * 2**30,) * 2,
        "get_device_capability": lambda i=0: (7, 5),
        "get_device_name": lambda i=0: "Tesla T4",
        "is_bf16_supported": lambda including_emulation=True: False,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    finding = next(f for f in doctor._machine() if "trains on the first one only" in f.what)
    assert finding.level == "note" and "CUDA_VISIBLE_DEVICES=1" in finding.advice and "teacher.device=cuda:1" in finding.advice


def test_a_distributed_launch_is_refused_and_leaves_the_folder_free(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"launched as 2 processes.*without the launcher"):
        build(config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("WORLD_SIZE", "1")
    build(config(), tmp_path / "run")
