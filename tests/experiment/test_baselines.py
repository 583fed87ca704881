"""SFT and STaR: what they train on, that TRL's loss is the one over these tokens, what they used, and resuming."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from thinklab.config.load import load_config
from thinklab.errors import ConfigError, RunError, TrainingError
from thinklab.experiment.baselines import questions_used, samples_per_round, train_baseline
from thinklab.experiment.baselines.texts import Text, gold
from thinklab.experiment.build import build
from thinklab.experiment.train import run_experiment
from thinklab.experiment.trained_student import load_weights, trained_student
from thinklab.run.chunks import add_chunk, seed_of, whole_chunks
from thinklab.run.folder import RunFolder
from thinklab.students import load_student
from thinklab.tasks import load_task
from thinklab.types import Example

TRAIN = (
    "train: {steps: 4, questions: 6, samples: 4, max_prompt_tokens: 60, max_completion_tokens: 48, checkpoint_every: 2, "
    "threads: 1, seed: 3}\nprobe: {questions: 4}\n"
)


def config(tmp_path, head, *overrides):
    file = tmp_path / "config.yaml"
    file.write_text(f"name: x\ntask: {{name: sums, terms: [2]}}\n{head}\n{TRAIN}")
    return load_config(file, list(overrides))


def nll(student, texts):
    """Mean negative log-likelihood of the answer tokens alone, without TRL."""
    total = count = 0
    for t in texts:
        ids = torch.tensor([[*t.prompt_ids, *t.answer_ids]])
        with torch.no_grad():
            logp = student.model(input_ids=ids).logits[0, len(t.prompt_ids) - 1 : -1].log_softmax(-1)
        total -= logp.gather(-1, torch.tensor(t.answer_ids)[:, None]).sum().item()
        count += len(t.answer_ids)
    return total / count


def texts_of(run, name="texts"):
    return [Text.from_json(line) for line in run.read(name)]


def weights(run):
    return load_file(run.last_checkpoint()[0] / "adapter_model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_sft_sees_the_questions_of_grpo_and_its_loss_is_that_of_the_gold_answers(tmp_path):
    session = build(config(tmp_path, "baseline: {kind: sft, batch: 24}"), tmp_path / "run")
    asked = [e.id for e in questions_used(session)]
    assert asked == session.trainer.train_dataset["example_id"][:24], "the order in which TRL would have sampled"
    inner = session.student.model.get_base_model()
    forward = inner.__dict__.get("forward")  # TRL 1.16's GRPO trainer puts one there as well
    steps = train_baseline(session)
    run, base = session.run, load_student("embedded")
    texts = texts_of(run)
    assert steps == 1 and [t.example_id for t in texts] == asked and {t.source for t in texts} == {"gold-solution"}
    (first,) = run.read("metrics")
    assert first["loss"] == pytest.approx(nll(base, texts), abs=2e-4), "over answer tokens, EOS included, prompts left out"
    assert run.read_json("usage.json") | {"texts": None} == {
        "student_answers": 0,
        "student_tokens": 0,
        "teacher_texts": 0,
        "teacher_tokens": 0,
        "texts": None,
        "optimizer_steps": 1,
        "questions": 24,
        "different_questions": len(set(asked)),
    }
    assert inner.__dict__.get("forward") == forward, "the SFT trainer's patch is taken off again"


@pytest.mark.parametrize("lora", ["{r: 4}", "null"], ids=["LoRA", "all weights"])
def test_an_interrupted_baseline_ends_with_the_same_weights(tmp_path, lora):
    c = config(tmp_path, "baseline: {kind: sft, batch: 4}", f"student.lora={lora}")
    whole = build(c, tmp_path / "whole")
    train_baseline(whole)
    killed = build(c, tmp_path / "killed")

    def die(line):
        if line["step"] == 5:
            raise KeyboardInterrupt

    killed.listen(die)
    with pytest.raises(KeyboardInterrupt):
        train_baseline(killed)
    again = build(c, tmp_path / "killed", resume=True)
    train_baseline(again, resume=True)
    runs = RunFolder.open(tmp_path / "whole"), RunFolder.open(tmp_path / "killed")
    name = "adapter_model.safetensors" if lora != "null" else "model.safetensors"
    mine, theirs = (load_file(r.last_checkpoint()[0] / name) for r in runs)
    assert same(mine, theirs)
    one, two = ([(x["step"], x["loss"]) for x in r.read("metrics")] for r in runs)
    assert one == two
    loaded = trained_student(tmp_path / "killed").student.model.state_dict()
    trained = again.student.model.state_dict()
    assert all(torch.equal(loaded[k], trained[k]) for k in trained)


def test_guided_sft_trains_on_the_student_s_answer_and_the_comment(tmp_path):
    c = config(
        tmp_path,
        "behaviors: [self-check]\nteacher: {backend: scripted, rule: sums-check}\nguidance: {max_tokens: 60}\n"
        "baseline: {kind: sft, texts: guided, batch: 8}",
    )
    result = run_experiment(c, tmp_path / "run")
    run = RunFolder.open(tmp_path / "run")
    lines = list(run.read("texts"))
    trained = [line for line in lines if line["answer_ids"]]
    assert len(lines) == 24 and trained and all(line["source"] == "guided" and "I check:" in line["text"] for line in trained)
    student = load_student("embedded")
    assert all(student.decode(line["answer_ids"]) == line["text"] for line in trained)
    assert all(line["left_out"] for line in lines if not line["answer_ids"])
    assert result["steps"] == -(-len(trained) // 8) and result["after"]["T=1"]["accuracy"]["total"] == 4
    used = run.read_json("usage.json")
    assert used["student_answers"] == 24 and used["teacher_texts"] == len(trained) == used["texts"]["guided"]
    assert used["teacher_tokens"] == sum(len(t["answer_ids"]) - t["student_tokens"] + 1 for t in trained) > 0


def test_star_keeps_what_is_right_and_starts_each_round_from_the_untrained_student(tmp_path):
    c = config(tmp_path, "baseline: {kind: star, rounds: 2, batch: 8}", "task.terms=[4]", "temperature=1.3")
    assert samples_per_round(c) == 2, "two rounds of two answers are the four of GRPO"
    session = build(c, tmp_path / "run")
    steps = train_baseline(session)
    run, task, base = session.run, session.data.task, load_student("embedded")
    by_id = {e.id: e for e in session.data.train}
    lines = list(run.read("rationales"))
    for line in lines:
        right = task.verify(line["text"], by_id[line["example_id"]])
        assert line["kept"] == (right and line["finished"])
        assert line["prompt_ids"] == base.encode(task.prompt(by_id[line["example_id"]])), "the hint is never trained on"
    own = [x for x in lines if x["source"] == "rationale"]
    told = [x for x in lines if x["source"] == "rationalization"]
    assert len(own) == 2 * 24 * 2
    for number in (1, 2):
        solved = {x["example_id"] for x in own if x["round"] == number and x["kept"]}
        retried = [x["example_id"] for x in told if x["round"] == number]
        assert retried and set(retried) == {e.id for e in questions_used(session)} - solved
    assert all(x["read"] > len(x["prompt_ids"]) for x in told), "they were asked with the answer in sight"

    metrics = list(run.read("metrics"))
    assert [m["step"] for m in metrics] == list(range(1, steps + 1))
    kept = [{(x["example_id"], tuple(x["answer_ids"])) for x in lines if x["kept"] and x["round"] == n} for n in (1, 2)]
    per_round = [-(-len(k) // 8) for k in kept]
    assert sum(per_round) == steps and run.last_checkpoint()[1] == per_round[1]
    assert (tmp_path / "run" / "rounds" / "round-1" / f"checkpoint-{per_round[0]}" / "thinklab.json").exists()
    spent = run.read_json("usage.json")
    assert spent["student_answers"] == len(lines) and spent["student_tokens"] == sum(len(x["answer_ids"]) for x in lines)


def test_every_round_of_star_begins_at_the_untrained_weights(tmp_path, monkeypatch):
    from thinklab.experiment.baselines import star

    seen = []

    def fit(session, texts, folder, before, resume):
        seen.append(_trainable(session))
        return _spoil(session)

    monkeypatch.setattr(star, "fit", fit)
    session = build(config(tmp_path, "baseline: {kind: star, rounds: 3}"), tmp_path / "run")
    before = _trainable(session)
    train_baseline(session)
    assert len(seen) == 3 and all(same(before, s) for s in seen) and not same(before, _trainable(session))


def _trainable(session):
    return {n: p.detach().clone() for n, p in session.student.model.named_parameters() if p.requires_grad}


def _spoil(session):
    for p in session.student.model.parameters():
        if p.requires_grad:
            p.data += 0.01
    return 1


def test_star_says_so_when_nothing_is_right(tmp_path):
    c = config(tmp_path, "baseline: {kind: star, rounds: 1, rationalize: false}", "max_completion_tokens=2")
    session = build(c, tmp_path / "run")
    with pytest.raises(TrainingError, match="no right answer to any of 24 questions"):
        train_baseline(session)
    assert len(list(session.run.read("rationales"))) == 24 * 4, "what was sampled is kept"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("baseline: {kind: sft, texts: guided}", "at least one behavior"),
        ("baseline: {kind: sft}\nloss: {method: aas}\nbehaviors: [self-check]", "no policy gradient"),
        ("baseline: {kind: star, hint: It is 7}", "must contain"),
        ("baseline: {kind: star, hint: '{answer} {x}'}", "must contain"),
        ("baseline: {kind: sfd}", "baseline.kind"),
        ("baseline: {kind: sft, rounds: 0}", "rounds"),
    ],
)
def test_a_baseline_that_makes_no_sense_is_refused(tmp_path, head, said):
    with pytest.raises(ConfigError, match=said):
        config(tmp_path, head)


def test_gold_texts_of_real_sets(shared_data):
    student = load_student("embedded")
    gsm = load_task("gsm8k", path=shared_data / "gsm8k" / "train.jsonl")
    for e in gsm.load("train")[:40]:
        text = gold(student, gsm, e)
        assert text.source == "gold-solution" and "<<" not in text.text and gsm.verify(text.text, e)
        assert text.answer_ids[-1] == student.eos_ids[0] and student.decode(text.answer_ids) == text.text
    arc = load_task("arc_challenge", path=shared_data / "arc_challenge" / "test.jsonl")
    for e in arc.load("test")[:10]:
        assert gold(student, arc, e).source == "gold-answer" and arc.verify(gold(student, arc, e).text, e)
    boxed = Example("m", "q", "3", {"solution": "It is \\boxed{3}."})
    assert gold(student, gsm, boxed).text == "It is \\boxed{3}."


def test_half_a_chunk_is_no_chunk(tmp_path):
    run = RunFolder(tmp_path)
    add_chunk(run, "lines", (1, "a"), [{"x": 1}, {"x": 2}])
    add_chunk(run, "lines", (2, "a"), [{"x": 3}, {"x": 4}])
    data = (tmp_path / "lines.jsonl").read_bytes()
    (tmp_path / "lines.jsonl").write_bytes(data[: data.rfind(b"\n", 0, -1) + 1])
    assert [[x["x"] for x in lines] for lines in whole_chunks(run, "lines").values()] == [[1, 2]]
    assert [x["x"] for x in run.read("lines")] == [1, 2]
    assert seed_of(1, "a") != seed_of("1", "a") and 0 <= seed_of(1, "a") < 2**31


def test_weights_of_another_student_are_refused(tmp_path):
    student = load_student("embedded")
    student.model.save_pretrained(tmp_path / "r16")
    from thinklab.config.experiment import LoraSection

    with pytest.raises(RunError, match="do not fit"):
        load_weights(load_student("embedded", lora=LoraSection(r=2)).model, tmp_path / "r16")
    with pytest.raises(RunError, match="no complete checkpoint"):
        RunFolder.create(tmp_path / "empty", {}, {})
        trained_student(tmp_path / "empty")


def test_what_an_older_version_wrote_under_another_name_is_read(tmp_path):
    from thinklab.run.usage import supervised_usage

    (tmp_path / "config.yaml").write_text("config: {}\nbehaviors: {}\nversions: {}\n", encoding="utf-8")
    run = RunFolder(tmp_path)
    assert supervised_usage(run) is None
    run.write_json("budget.json", {"questions": 3})
    assert supervised_usage(run) == {"questions": 3}
    run.write_json("usage.json", {"questions": 4})
    assert supervised_usage(run) == {"questions": 4}


def test_the_usage_of_a_policy_gradient_run_is_counted_from_its_rollouts(tmp_path):
    from thinklab.run.usage import usage

    head = "behaviors: [self-check]\nteacher: {backend: scripted, rule: sums-check}\nguidance: {gamma: 1, max_tokens: 60}"
    c = config(tmp_path, head, "train.steps=2")
    session = build(c, tmp_path / "run")
    session.train()
    used, rollouts = usage(session.run), list(session.run.read("rollouts"))
    assert (used["questions"], used["student_answers"], used["texts"]) == (2 * 6, 2 * 6 * 4, {})
    assert used["student_tokens"] == sum(len(r["student_ids"]) for r in rollouts)
    assert used["teacher_texts"] == sum(bool(r["teacher_ids"]) for r in rollouts) > 0
    assert used["teacher_tokens"] == sum(len(r["teacher_ids"]) for r in rollouts)
