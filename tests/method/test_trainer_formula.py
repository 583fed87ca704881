"""Loss and LoRA gradients of the trainer against an independent implementation of the written formula.

The independent side shares nothing with the trainer: plain full logits, one sequence at a time, no padding, loops over
tokens. The cases are checked to contain what makes them worth having: masked teacher tokens, kept negative ones,
clipped student tokens, left padding.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.support.grpo import cpu_config, question_rows
from thinklab.aas import Shaping
from thinklab.credit import own_advantages
from thinklab.errors import ConfigError
from thinklab.sampler import Sampler
from thinklab.trainer import ThinkTuningTrainer

QUESTIONS = [
    "Tom has 12 figs and finds 4 more. How many?",
    "Zoe buys 37 pens, then 9 and 8 and 2 more. Total?",
    "There are 44 old keys and 5 and 5 and 6 red. How many in all?",
    "Ann buys 21 hats, then 3 more. Total?",
]
GUIDANCE = [" I check: 12+7=19. So \\boxed{19}.", " No", " the big red fox jumps. Thalapathy Vijay says: hit hard."]


def fixed_guide(tokenizer, per_group=1):
    """Guidance on the first finished rollouts of each group; a different text each time."""

    def guide(rollouts, step, generation):
        out, given = [], {}
        for k, r in enumerate(rollouts):
            if r.finished and given.get(r.group, 0) < per_group:
                given[r.group] = given.get(r.group, 0) + 1
                text = GUIDANCE[(k + generation) % len(GUIDANCE)]
                ids = (*tokenizer(text)["input_ids"], r.student_ids[-1])
                r = replace(r, teacher_ids=ids, text=r.student_text + text)
            out.append(r)
        return out

    return guide


def noisy_reward(completions, rollout, **_):
    """Any deterministic reward with spread; guided rollouts sometimes win and sometimes lose."""
    return [((len(r.text) * 7 + r.group * 3 + len(r.teacher_ids)) % 11) / 5 for r in rollout]


class Spy(ThinkTuningTrainer):
    """Keeps what each loss call saw and gave, with the gradients it alone caused."""

    def __init__(self, *args, **kwargs):
        self.calls = []
        super().__init__(*args, **kwargs)

    def compute_loss(self, model, inputs, **kwargs):
        before = copy.deepcopy({n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad})
        seen = {k: v.clone() if torch.is_tensor(v) else v for k, v in inputs.items()}
        loss = super().compute_loss(model, inputs, **kwargs)
        trainable = [p for p in model.parameters() if p.requires_grad]
        grads = torch.autograd.grad(loss, trainable, retain_graph=True, allow_unused=True)
        grads = [torch.zeros_like(p) if g is None else g for g, p in zip(grads, trainable, strict=True)]
        self.calls.append((before, seen, loss.item(), [g.clone() for g in grads], self.current_gradient_accumulation_steps))
        return loss


def lora(model):
    """An adapter that already does something, so that no gradient is trivially zero."""
    torch.manual_seed(1)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter *= 0.1
    return model


def check_against_the_formula(trainer, shaping):
    """Every loss call's value and gradients; returns what occurred."""
    found = dict.fromkeys(["masked teacher", "negative teacher", "positive teacher", "clipped student", "left padded"], 0)
    copy_of = copy.deepcopy(trainer.model)
    for module in copy_of.modules():
        module.__dict__.pop("forward", None)  # under Unsloth a copy's forward would still be the original's
    for weights, seen, loss, grads, accumulation in trainer.calls:
        copy_of.load_state_dict(weights, strict=False)
        expected = written_formula(copy_of, seen, trainer.args, shaping, accumulation, found)
        trainable = [p for p in copy_of.parameters() if p.requires_grad]
        expected_grads = torch.autograd.grad(expected, trainable)
        assert loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
        largest = max(g.abs().max().item() for g in expected_grads)
        for mine, theirs in zip(grads, expected_grads, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * largest)
    return found


def run(model, tokenizer, shaping, scope="guidance", reward=noisy_reward, credit=None, **args):
    settings = {
        "max_steps": 4,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "learning_rate": 3.0,
        "optim": "sgd",
        "max_completion_length": 48,
        "loss_type": "dapo",
        "max_grad_norm": 1e9,
        "temperature": 1.0,
        "epsilon_high": 0.2,
        "mask_truncated_completions": False,
        "beta": 0.0,
        "shuffle_dataset": False,
        "remove_unused_columns": False,
    } | args
    trainer = Spy(
        model=lora(model),
        args=cpu_config(**settings),
        processing_class=tokenizer,
        train_dataset=question_rows(QUESTIONS, 8),
        reward_funcs=[reward],
        guide=fixed_guide(tokenizer),
        shaping=shaping,
        scope=scope,
        **({"credit": "own", "score": credit} if credit else {}),
        sampler=Sampler(48, (tokenizer.eos_token_id,), tokenizer.pad_token_id, temperature=settings["temperature"]),
    )
    trainer.train()
    return trainer


def token_logps(model, prompt, completion, temperature):
    """log pi of each completion token, from a forward pass of this one sequence without any padding."""
    logits = model(input_ids=torch.tensor([prompt + completion])).logits[0].double() / temperature
    every = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return every.gather(-1, torch.tensor(completion)[:, None])[:, 0]


def written_formula(model, seen, args, shaping, accumulation, found):
    """The loss of one micro-batch as REFERENCE writes it; counts what occurred in ``found``."""
    total, sequence_means = 0.0, []
    for row in range(len(seen["completion_ids"])):
        prompt = seen["prompt_ids"][row][seen["prompt_mask"][row].bool()].tolist()
        completion = seen["completion_ids"][row][seen["completion_mask"][row].bool()].tolist()
        found["left padded"] += int(len(prompt) < seen["prompt_ids"].shape[1])
        logps = token_logps(model, prompt, completion, args.temperature)
        of_trajectory = seen["advantages"][row].item()
        of_own_part = seen["student_advantages"][row].item() if "student_advantages" in seen else of_trajectory
        old, sampled = seen.get("old_per_token_logps"), seen.get("importance_sampling_ratio")  # the latter: vLLM's correction
        losses = []
        for t, logp in enumerate(logps):
            pi = logp.exp()
            advantage = of_trajectory if seen["teacher_mask"][row, t] else of_own_part
            if seen["teacher_mask"][row, t] and shaping.variant == "ratio":
                ratio = (logp - (logp.detach() if old is None else old[row, t].double())).exp()
                losses.append(-_clipped(ratio, advantage, args, found, "teacher"))
            elif seen["teacher_mask"][row, t]:
                c = max(-shaping.c_max, min(shaping.c_max, shaping.c_max * advantage / shaping.a_max))
                if advantage < 0 and pi.item() < shaping.floor:
                    found["masked teacher"] += 1
                    losses.append(0.0 * logp)
                else:
                    found["negative teacher"] += int(advantage < 0)
                    found["positive teacher"] += int(advantage > 0)
                    losses.append(-advantage * pi / (pi.detach() + c))
            else:
                ratio = (logp - (logp.detach() if old is None else old[row, t].double())).exp()
                weight = 1.0 if sampled is None else sampled[row, min(t, sampled.shape[1] - 1)].item()
                losses.append(-weight * _clipped(ratio, advantage, args, found, "student"))
        total = total + sum(losses)
        sequence_means.append(sum(losses) / len(losses))
    if args.loss_type == "grpo":
        return sum(sequence_means) / len(sequence_means) / accumulation
    normalizer = seen["num_items_in_batch"].item() * accumulation / args.steps_per_generation
    return total / normalizer


def _clipped(ratio, advantage, args, found, origin):
    """min(r A, clip(r) A), with r at most ``delta`` in the first (Ye et al. 2019, arXiv 1912.09729)."""
    bounded = ratio if args.delta is None else ratio.clamp(max=args.delta)
    if args.delta is not None and ratio.item() > args.delta and advantage < 0:
        found[f"dually clipped {origin}"] = found.get(f"dually clipped {origin}", 0) + 1
    clipped = ratio.clamp(1 - args.epsilon, 1 + args.epsilon)
    found[f"clipped {origin}"] = found.get(f"clipped {origin}", 0) + int(
        advantage * clipped.item() < advantage * ratio.item() - 1e-12
    )
    return torch.minimum(bounded * advantage, clipped * advantage)


CASES = {
    "dapo": {},
    "grpo": {"loss_type": "grpo"},
    "dapo, 2 iterations": {"num_iterations": 2, "max_steps": 6},
    "grpo, 4 iterations": {"num_iterations": 4, "loss_type": "grpo", "max_steps": 8},
    "dapo, minibatches and accumulation": {
        "steps_per_generation": 4,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 4,
        "max_steps": 6,
    },
    "grpo, temperature 0.7": {"temperature": 0.7, "loss_type": "grpo", "num_iterations": 2},
}
SHAPING = Shaping()


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_equal_the_written_formula(case, model, tokenizer):
    trainer = run(model, tokenizer, SHAPING, **CASES[case])
    assert len(trainer.calls) >= 4
    found = check_against_the_formula(trainer, SHAPING)
    for what in ("masked teacher", "negative teacher", "positive teacher", "left padded"):
        assert found[what] > 0, f"no {what} token in this case: {found}"
    if trainer.num_iterations > 1 or trainer.args.steps_per_generation > trainer.args.gradient_accumulation_steps:
        assert found["clipped student"] > 0, found


MINIBATCHES = {"steps_per_generation": 4, "gradient_accumulation_steps": 1, "per_device_train_batch_size": 4, "max_steps": 8}


def test_the_plain_ratio_on_teacher_tokens_has_the_dual_clip(model, tokenizer):
    trainer = run(model, tokenizer, Shaping("ratio"), delta=1.3, **MINIBATCHES)
    found = check_against_the_formula(trainer, Shaping("ratio"))
    assert found["dually clipped teacher"] > 0 and found["dually clipped student"] > 0, found


@pytest.mark.parametrize("shaping", [Shaping(c_max=0, floor=0), Shaping(c_max=0, floor=1), Shaping(c_max=0)], ids=str)
def test_without_c_the_floor_masks_none_all_or_the_improbable_negative_tokens(shaping, model, tokenizer):
    found = check_against_the_formula(run(model, tokenizer, shaping, **MINIBATCHES), shaping)
    assert found["positive teacher"] > 0 and (found["masked teacher"] > 0) == (shaping.floor > 0)
    assert (found["negative teacher"] > 0) == (shaping.floor < 1)


def test_with_one_update_dual_clip_and_the_ratio_are_the_same_computation(model, tokenizer):
    plain, *others = (
        run(copy.deepcopy(model), tokenizer, shaping, delta=delta)
        for shaping, delta in ((Shaping("ratio"), None), (Shaping("ratio"), 1.3), (Shaping(c_max=0, floor=0), None))
    )
    for other in others:
        for mine, theirs in zip(other.model.parameters(), plain.model.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def own_part_scored(rollouts):
    """Like ``noisy_reward``, for the whole and for the student's part."""
    own = noisy_reward(None, [replace(r, text=r.student_text, teacher_ids=()) for r in rollouts])
    whole = noisy_reward(None, rollouts)
    return [
        replace(r, rewards={"noisy_reward": w}, own_rewards={"noisy_reward": o} if r.guided else {})
        for r, w, o in zip(rollouts, whole, own, strict=True)
    ]


@pytest.mark.parametrize("shaping", [Shaping(), Shaping("ratio")], ids=str)
def test_with_own_credit_the_students_tokens_answer_for_their_own_part_only(shaping, model, tokenizer):
    trainer = run(model, tokenizer, shaping, credit=own_part_scored, num_iterations=2)
    check_against_the_formula(trainer, shaping)
    differ = 0
    for _, seen, *_ in trainer.calls:
        guided = seen["teacher_mask"].bool().any(1)
        same = seen["advantages"] == seen["student_advantages"]
        assert same[~guided].all()
        differ += (~same[guided]).sum().item()
    assert differ > 0


def test_own_credit_measures_the_own_part_against_the_groups_actual_rewards(model, tokenizer):
    trainer = run(model, tokenizer, SHAPING, credit=own_part_scored)
    rollouts, rewards = trainer._rollouts, torch.tensor([r.rewards["noisy_reward"] for r in trainer._rollouts])
    found = own_advantages(rollouts, rewards[:, None], ["noisy_reward"], torch.ones(1), 4, "group", 0)
    for k, r in enumerate(rollouts):
        group = rewards[k // 4 * 4 : k // 4 * 4 + 4]
        own = r.own_rewards["noisy_reward"] if r.guided else r.rewards["noisy_reward"]
        assert found[k].item() == pytest.approx((own - group.mean().item()) / (group.std().item() + 1e-4), abs=1e-4)


def test_own_credit_without_a_score_is_refused(model, tokenizer):
    with pytest.raises(ConfigError, match="own_rewards"):
        ThinkTuningTrainer(
            model=model,
            args=cpu_config(per_device_train_batch_size=4, num_generations=4),
            processing_class=tokenizer,
            train_dataset=question_rows(QUESTIONS, 4),
            reward_funcs=[noisy_reward],
            credit="own",
        )


def test_groups_without_spread_cost_no_backward_pass_and_change_no_gradient(model, tokenizer, monkeypatch):
    from thinklab import trainer as module

    real, rows = module.chosen_logprobs, []
    monkeypatch.setattr(
        module, "chosen_logprobs", lambda m, ids, *rest: rows.append((torch.is_grad_enabled(), len(ids))) or real(m, ids, *rest)
    )

    def reward(completions, rollout, **_):
        return [1.0 if r.group == 0 else value for r, value in zip(rollout, noisy_reward(completions, rollout), strict=True)]

    trainer = run(model, tokenizer, SHAPING, reward=reward, max_steps=2)
    for _, seen, *_ in trainer.calls:
        assert (seen["advantages"] == 0).sum() == 4 and seen["teacher_mask"][seen["advantages"] == 0].any()
    assert sorted(rows) == [(False, 4), (False, 4), (True, 4), (True, 4)]
    check_against_the_formula(trainer, SHAPING)  # in which every row has its share


def test_the_teacher_mask_is_exactly_the_guidance(model, tokenizer):
    trainer = run(model, tokenizer, SHAPING)
    spans = 0
    for _, seen, *_ in trainer.calls:
        for ids, mask, real in zip(seen["completion_ids"], seen["teacher_mask"], seen["completion_mask"], strict=True):
            if mask.any():
                spans += 1
                assert tokenizer.decode(ids[mask.bool()]) in [g + "<eos>" for g in GUIDANCE]
                assert mask.nonzero()[-1] == real.nonzero()[-1]  # the span ends the answer
                student = ids[real.bool() & ~mask.bool()]
                assert tokenizer.eos_token_id not in student  # its EOS was taken off
    assert spans >= 8


def test_whole_trajectory_scope_marks_every_token_of_a_guided_rollout(model, tokenizer):
    trainer = run(model, tokenizer, SHAPING, scope="trajectory")
    guided = [r for r in trainer._rollouts if r.guided]
    assert guided
    _, seen, *_ = trainer.calls[-1]
    for mask, real in zip(seen["teacher_mask"], seen["completion_mask"], strict=True):
        assert mask.sum() in (0, real.sum())


def test_kl_leaves_teacher_tokens_alone(model, tokenizer):
    """With beta > 0 the gradient on a masked teacher token must stay exactly that of beta = 0."""
    trainer = run(model, tokenizer, SHAPING, beta=0.5, max_steps=2)
    seen = {}
    original = trainer._shape

    def spy(inputs, logps, entropies):
        original(inputs, logps, entropies)
        seen.update(inputs, logps=logps)

    trainer._shape = spy
    _, inputs, *_ = trainer.calls[0]
    trainer.compute_loss(trainer.model, inputs)
    teacher = seen["teacher_mask"].bool()
    assert teacher.any()
    assert torch.equal(seen["ref_per_token_logps"][teacher], seen["logps"].detach()[teacher])
    assert not torch.equal(seen["ref_per_token_logps"][~teacher], seen["logps"].detach()[~teacher])


def test_kl_is_logged_by_token_origin(model, tokenizer):
    """The two means, weighted by their tokens, are TRL's estimator over all tokens against the reference as it was."""
    trainer = run(model, tokenizer, SHAPING, beta=0.5, max_steps=2)
    _, inputs, *_ = trainer.calls[-1]
    ref, seen = inputs["ref_per_token_logps"].clone(), {}
    original = trainer._shape

    def spy(inputs, logps, entropies):
        seen["logps"] = logps.detach()
        original(inputs, logps, entropies)

    trainer._shape = spy
    before = {origin: len(trainer._metrics["train"][f"{origin}/kl"]) for origin in ("student", "teacher")}
    trainer.compute_loss(trainer.model, dict(inputs))
    teacher = inputs["teacher_mask"].bool()
    gap = ref - seen["logps"]
    for origin, mask in (("teacher", teacher), ("student", inputs["completion_mask"].bool() & ~teacher)):
        logged = trainer._metrics["train"][f"{origin}/kl"]
        assert len(logged) == before[origin] + 1 and logged[-1] > 0
        assert logged[-1] == pytest.approx((gap.exp() - gap - 1)[mask].mean().item(), rel=1e-4)


def test_imitation_moves_nothing_in_steps_without_a_guided_text(tmp_path):
    """Adam would, on its momentum."""
    from tests.conftest import ROOT
    from thinklab.config.load import load_config
    from thinklab.experiment.build import build

    config = load_config(
        ROOT / "examples" / "demo-self-check.yaml",
        [
            "loss.method=sft",
            "train.steps=5",
            "train.questions=2",
            "train.samples=3",
            "train.warmup_steps=1",
            "train.decay=constant",
            "guidance.schedule={off_at: 3}",
            "probe.every=0",
            "train.checkpoint_every=0",
        ],
    )
    session = build(config, tmp_path / "run")
    session.train()
    lines = list(session.run.read("metrics"))
    assert [line["guided_fraction"] > 0 for line in lines] == [True, True, True, False, False]
    assert [line["weights_changed"] for line in lines] == [True, True, True, False, False]
