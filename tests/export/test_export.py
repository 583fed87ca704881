"""What is taken away says what the trained student says, holds no pickle, and nothing leaves the machine unasked."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from thinklab.cli.app import app
from thinklab.config.load import load_config
from thinklab.config.shipped import resource_dir
from thinklab.errors import ConfigError, RunError
from thinklab.experiment.build import build
from thinklab.export.export import push, save
from thinklab.run.folder import RunFolder
from thinklab.students import TINY, load_student

SMALL = [
    "train.steps=2",
    "train.questions=3",
    "train.samples=4",
    "probe.questions=8",
    "probe.every=0",
    "train.checkpoint_every=0",
    "guards.action=off",
    "train.learning_rate=0.02",
    "train.warmup_steps=0",
    "train.decay=constant",
]
QUESTIONS = ["Tom has 12 figs and finds 4 more. How many?", "Zoe buys 37 pens, then 9 and 8 and 2 more. Total?", "Say a line"]


def trained(folder, *more):
    session = build(load_config(resource_dir("examples") / "demo-self-check.yaml", [*SMALL, *more]), folder)
    session.train()
    return session


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("export") / "run")


def greedy(model, tokenizer):
    texts = []
    for question in QUESTIONS:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        out = model.eval().generate(input_ids=ids, max_new_tokens=40, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        texts.append(tokenizer.decode(out[0, ids.shape[1] :]))
    return texts


def test_an_adapter_on_its_base_says_the_same(session, tmp_path):
    folder = save(session.run.path, "adapter", tmp_path / "a")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    untrained = greedy(base, tokenizer)
    mine = greedy(PeftModel.from_pretrained(base, str(folder)), tokenizer)
    assert mine == greedy(session.student.model, tokenizer) != untrained
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "thinklab-embedded"
    assert not [p for p in folder.rglob("*") if p.suffix in (".bin", ".pt", ".pth")]


def test_a_merged_model_reloads_plainly_and_says_the_same(session, tmp_path):
    folder = save(session, "merged", tmp_path / "m")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype="auto"), AutoTokenizer.from_pretrained(folder)
    assert not hasattr(model, "peft_config") and tokenizer.chat_template
    assert greedy(model, tokenizer) == greedy(session.student.model, tokenizer)
    assert (folder / "model.safetensors").exists() and not (folder / "adapter_config.json").exists()
    assert load_student("transformers", str(folder)).answer([[{"role": "user", "content": QUESTIONS[0]}]], temperature=0.0)


def test_a_4_bit_student_is_merged_into_the_weights_it_was_trained_on(tmp_path):
    session = trained(tmp_path / "run", "student.quantize=nf4")
    assert {p.dtype for p in session.trainer.model.parameters() if p.requires_grad} == {torch.float32}
    folder = save(session, "merged", tmp_path / "m")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype="auto"), AutoTokenizer.from_pretrained(folder)
    assert not getattr(model, "is_loaded_in_4bit", False) and not hasattr(model.config, "quantization_config")
    ids = torch.tensor([tokenizer(QUESTIONS[1])["input_ids"]])
    with torch.no_grad():
        mine, theirs = model(input_ids=ids).logits, session.student.model.eval()(input_ids=ids).logits
    torch.testing.assert_close(mine.float(), theirs.float(), rtol=1e-3, atol=1e-3 * theirs.abs().max().item())
    assert greedy(model, tokenizer) == greedy(session.student.model, tokenizer)
    assert "4-bit" in (folder / "README.md").read_text()


def test_the_card_says_what_is_known_and_what_is_not(session, tmp_path):
    run = RunFolder.open(shutil.copytree(session.run.path, tmp_path / "run"))
    card = (save(run, "adapter") / "README.md").read_text()
    assert session.teaching.behaviors[0].hash in card and "learning_rate: 0.02" in card and "torch:" in card
    assert "Nothing was measured after training" in card and str(tmp_path) not in card and "seed (0)" in card
    rate = {"count": 3, "total": 8, "value": 0.375, "low": 0.1, "high": 0.7}
    result = {
        "T=1": {
            "decoding": "T=1",
            "accuracy": rate,
            "first_accuracy": rate,
            "finished": rate,
            "behaviors": {"self-check": rate},
            "mean_tokens": 20.0,
        }
    }
    run.write_json("probe.json", {"before": result, "after": result, "steps": 1})
    run.append("alarms", [{"step": 2, "what": "kl"}])
    card = (save(run, "adapter", tmp_path / "b") / "README.md").read_text()
    assert "| after | T=1 | 37.5 [" in card and "8 answers per decoding" in card
    assert "from step 1, the weights are from step 2" in card and "1 alarms" in card and "persistence" not in card
    assert card.startswith("---\n") and "Not measured: whether the behavior persists" in card


@pytest.mark.parametrize(
    "kind, error, text",
    [
        ("merge", ConfigError, "did you mean 'merged'"),
        ("gguf", ConfigError, "save it as merged"),
        ("adapter", RunError, "exists already"),
    ],
)
def test_what_cannot_be_saved_is_one_clear_error(kind, error, text, session, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(error, match=text):
        save(session.run.path, kind, tmp_path / "taken")
    assert [p.name for p in tmp_path.rglob("*")] == ["taken", "mine.txt"]


def test_a_run_without_a_checkpoint_has_nothing_to_save(session, tmp_path):
    run = RunFolder.create(tmp_path / "run", session.config.model_dump(mode="json"), {})
    with pytest.raises(RunError, match="no checkpoint yet"):
        save(run, "merged")


class Hub:
    """What ``HfApi`` is asked for."""

    def __init__(self, fails=False):
        self.calls, self.fails = [], fails

    def create_repo(self, **kwargs):
        if self.fails:
            raise OSError("401 Client Error: Unauthorized\nmore")
        self.calls.append(("create", kwargs))

    def upload_folder(self, **kwargs):
        self.calls.append(("upload", kwargs))
        return "https://hub/commit/1"


def test_push_asks_with_everything_that_would_leave(session, tmp_path):
    folder, hub, asked = save(session.run.path, "adapter", tmp_path / "a"), Hub(), []
    assert push(folder, "me/it", ask=lambda q: asked.append(q) or False, api=hub) == "" and hub.calls == []
    assert "adapter_model.safetensors" in asked[0] and "me/it (private)" in asked[0] and "MB" in asked[0]
    assert push(folder, "me/it", ask=lambda q: True, api=hub) == "https://hub/commit/1"
    assert [(n, k["repo_id"]) for n, k in hub.calls] == [("create", "me/it"), ("upload", "me/it")] and hub.calls[0][1]["private"]


def test_push_without_anybody_there_uploads_nothing(session, tmp_path, monkeypatch):
    folder, hub = save(session.run.path, "adapter", tmp_path / "a"), Hub()

    def nobody(_):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert push(folder, "me/it", api=hub) == "" and hub.calls == []


def test_push_takes_exports_only_and_says_what_the_hub_said(session, tmp_path):
    folder = save(session.run.path, "adapter", tmp_path / "a")
    with pytest.raises(RunError, match=r"401 Client Error.*hf auth login"):
        push(folder, "me/it", ask=lambda q: True, api=Hub(fails=True))
    with pytest.raises(RunError, match="not made by"):
        push(session.run.path, "me/it", ask=lambda q: True, api=Hub())
    (folder / "training_args.bin").write_bytes(b"pickle")
    with pytest.raises(RunError, match=r"training_args\.bin"):
        push(folder, "me/it", ask=lambda q: True, api=Hub())


def test_the_commands(session, tmp_path, monkeypatch):
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    run = CliRunner().invoke(app, ["save", str(session.run.path), "--as", "adapter", "--out", str(tmp_path / "a")])
    assert run.exit_code == 0 and (tmp_path / "a" / "README.md").exists()
    no = CliRunner().invoke(app, ["push", str(tmp_path / "a"), "me/it"], input="n\n")
    assert "nothing was uploaded" in no.output and not hub.calls
    yes = CliRunner().invoke(app, ["push", str(tmp_path / "a"), "me/it", "--public", "--yes"])
    assert yes.exit_code == 0 and hub.calls[0][1]["private"] is False


def test_a_lab_saves_and_pushes_what_its_folder_holds(session, tmp_path):
    from thinklab import Lab

    run = shutil.copytree(session.run.path, tmp_path / "run")
    hub, asked = Hub(), []
    with Lab(out=run, quiet=True) as lab:
        folder = lab.save("adapter")
        assert folder == run / "export" / "adapter-step-2" and (folder / "adapter_model.safetensors").exists()
        assert lab.push("me/it", ask=lambda q: asked.append(q) or False) == "" and "me/it (private)" in asked[0]
    assert not hub.calls
