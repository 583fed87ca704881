"""Any local Hugging Face causal LM on real GSM8K questions, through the same command as everything else."""

from __future__ import annotations

import json

import pytest
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from tests.conftest import ROOT
from tests.support.tiny_llama import random_llama
from thinklab.config.load import load_config
from thinklab.experiment.train import run_experiment
from thinklab.run.folder import RunFolder

TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A random Llama with a byte-level BPE tokenizer trained on the questions themselves, as a plain folder."""
    data = ROOT.parent / "shared" / "data" / "gsm8k" / "train.jsonl"
    if not data.exists():
        pytest.skip("needs shared/data/gsm8k/train.jsonl beside the repository")
    folder = tmp_path_factory.mktemp("model")
    texts = [t for line in data.read_text().splitlines()[:500] for t in json.loads(line).values()]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=1200, special_tokens=["<|pad|>", "<|eot|>", "<|start|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, pad_token="<|pad|>", eos_token="<|eot|>", additional_special_tokens=["<|start|>"]
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    more = {"num_key_value_heads": 2, "max_position_embeddings": 4096, **ids}
    random_llama(len(tokenizer), 64, 128, layers=2, heads=4, **more).save_pretrained(folder)
    return folder, data


def test_three_steps_on_gsm8k(model_folder, tmp_path):
    folder, data = model_folder
    config = load_config(
        ROOT / "examples" / "gsm8k.yaml",
        [
            f"student.path={folder}",
            f"task.path={data}",
            "steps=3",
            "questions=2",
            "samples=4",
            "micro_batch=4",
            "max_completion_tokens=48",
            "max_prompt_tokens=700",
            "probe.questions=4",
            "teacher.max_tokens=40",
            "guidance.max_tokens=64",
        ],
    )
    result = run_experiment(config, tmp_path / "run")
    run = RunFolder.open(tmp_path / "run")
    rollouts = list(run.read("rollouts"))
    assert len(rollouts) == 3 * 8 and result["steps"] == 3
    assert {r["example"]["id"] for r in rollouts}.isdisjoint(s["example_id"] for s in run.read("probe_samples"))
    asked = [r["guidance"] for r in rollouts if r["guidance"]]
    assert all(g["status"] == "rejected" and g["reason"] for g in asked), "a random teacher writes no well-formed reply"
    assert len(list(run.read("metrics"))) == 3 and run.last_checkpoint()[1] == 3


def test_a_guided_real_rollout_reaches_the_loss(model_folder, tmp_path):
    """A scripted teacher on real questions: its words are in the loss, token for token."""
    folder, data = model_folder
    table = tmp_path / "table.jsonl"
    reply = "<opinion>incorrect</opinion><reason>So \\boxed{3}. I check: 2+2=4.</reason><phrase>So \\boxed{4}.</phrase>"
    table.write_text(
        "".join(
            json.dumps({"question": json.loads(line)["question"], "reply": reply}) + "\n"
            for line in data.read_text().splitlines()
        )
    )
    config = load_config(
        ROOT / "examples" / "gsm8k.yaml",
        [
            f"student.path={folder}",
            f"task.path={data}",
            "steps=2",
            "questions=3",
            "samples=4",
            "micro_batch=4",
            "max_completion_tokens=160",
            "max_prompt_tokens=700",
            "probe.questions=2",
            "guidance.gamma=4",
            "temperature=3.0",
        ],
    )
    config = config.model_copy(update={"teacher": config.teacher.__class__(backend="scripted", table=str(table))})
    run_experiment(config, tmp_path / "run")
    run = RunFolder.open(tmp_path / "run")
    traces = list(run.read("tokens"))
    assert traces, "no rollout ended by itself, so nobody was guided"
    for trace in traces:
        said = "".join(t for t, by_teacher in zip(trace["tokens"], trace["teacher"], strict=True) if by_teacher)
        assert said == " So \\boxed{3}. I check: 2+2=4. So \\boxed{4}.<|eot|>"
