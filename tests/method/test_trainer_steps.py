"""What a step must not depend on or invent: rounding of equal rewards, Adam's momentum, micro-batches, KL on teacher tokens."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from tests.conftest import ROOT
from tests.method.test_trainer_formula import QUESTIONS, fixed_guide, noisy_reward
from tests.support.grpo import cpu_config, question_rows
from thinklab.aas import Shaping
from thinklab.advantages import advantages, equal_groups
from thinklab.config.load import load_config
from thinklab.empty_steps import skip_empty_steps
from thinklab.errors import ConfigError
from thinklab.experiment.build import build
from thinklab.experiment.guards import Watch
from thinklab.sampler import Sampler
from thinklab.tasks import load_task
from thinklab.trainer import ThinkTuningTrainer

DEMO = ROOT / "examples" / "demo-self-check.yaml"
SMALL = [
    "train.questions=2",
    "train.samples=8",
    "train.warmup_steps=0",
    "train.decay=constant",
    "probe.every=0",
    "train.checkpoint_every=0",
    "guards.kl_every=0",
]


def always_right():
    task = load_task("sums", terms=[2, 4])
    object.__setattr__(task, "verify", lambda text, example: True)
    return task


# ---- equal rewards


@pytest.mark.parametrize("value", [0.1, 0.8, 1.2, 1.3, 1.7, 1e-3, 123.456])
@pytest.mark.parametrize("size", [2, 5, 8])
def test_a_group_of_equal_rewards_is_found_whatever_the_rewards_are(value, size):
    rewards = torch.full((2 * size, 2), value)
    rewards[size:, 0] = torch.linspace(0, 1, size)
    equal = equal_groups(rewards, torch.tensor([1.0, 2.0]), size)
    assert equal.tolist() == [True] * size + [False] * size


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_are_trl_s_to_the_last_bit_and_0_in_equal_groups(scale, monkeypatch, model, tokenizer, tmp_path):
    generator = torch.Generator().manual_seed(3)
    rewards = torch.randint(0, 3, (24, 2), generator=generator).float() * torch.tensor([1.0, 0.35])
    rewards[8:16] = torch.tensor([1.0, 0.3])  # an equal group, whose mean in fp32 may differ by a rounding
    seen = {}

    class Trl(GRPOTrainer):
        def _calculate_rewards(self, *args, **kwargs):
            return rewards

        def _generate_and_score_completions(self, inputs):
            seen["advantages"] = (out := super()._generate_and_score_completions(inputs))["advantages"].clone()
            return out

    options = {"per_device_train_batch_size": 24, "num_generations": 8, "max_completion_length": 4, "max_steps": 1}
    config = GRPOConfig(str(tmp_path), scale_rewards=scale, reward_weights=[1.0, 0.5], use_cpu=True, report_to=[], **options)
    parts = [lambda completions, **_: [0.0] * len(completions)] * 2
    trainer = Trl(model, parts, config, Dataset.from_list([{"prompt": q} for q in QUESTIONS[:1]] * 3), processing_class=tokenizer)
    trainer.train()
    weights = torch.tensor([1.0, 0.5])
    ours, equal = advantages(rewards, weights, 8, scale), equal_groups(rewards, weights, 8)
    assert equal[8:16].all() and not ours[equal].any() and not equal.all()
    assert torch.equal(ours[~equal], seen["advantages"][~equal])


def test_equal_is_closer_than_a_millionth_in_the_weighted_sum():
    apart = torch.tensor([[0.5, 0.5], [0.5 + 2e-6, 0.5]])
    one, two = torch.ones(2), torch.tensor([1e-3, 1.0])
    assert equal_groups(apart, one, 2).tolist() == [False, False]
    assert equal_groups(apart, two, 2).tolist() == [True, True]
    trade = torch.tensor([[0.7, 0.3], [0.3, 0.7]])  # equal in sum and not part by part
    assert equal_groups(trade, one, 2).all() and not equal_groups(trade, one, 2, each=True).any()
    nan = torch.nan
    known = torch.tensor([[nan, nan], [1.0, nan], [nan, nan], [1.0, 0.0], [0.0, nan], [nan, nan]])
    assert equal_groups(known, one, 3).tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    "options",
    [{}, {"scale_rewards": "none"}, {"scale_rewards": "batch"}, {"multi_objective_aggregation": "normalize_then_sum"}],
    ids=str,
)
def test_equal_rewards_have_no_advantage_and_say_so(options, model, tokenizer):
    def reward(completions, **_):
        return [1.3] * len(completions)

    trainer = train(model, tokenizer, reward, max_steps=2, num_generations=8, **options)
    for line in trainer.state.log_history[:2]:
        assert line["loss"] == 0 and line["grad_norm"] == 0
        assert line["frac_reward_zero_std"] == 1 or options.get("scale_rewards") == "batch"
    assert set(trainer._logs["advantages"]) == {0.0}
    assert same_weights(trainer.model, model)


def test_a_verifier_that_is_always_right_trains_nothing_and_the_guard_says_so(tmp_path):
    from thinklab.config.ready_made import ReadyMade

    config = load_config(DEMO, [*SMALL, "loss.method=grpo", "reward.correct=1.3", "train.steps=4", "guards.patience=3"])
    session = build(config, tmp_path / "run", parts=ReadyMade(task=always_right()))
    session.train()
    lines = list(session.run.read("metrics"))
    assert [line["equal_rewards_fraction"] for line in lines] == [1.0] * 4
    assert not any(line["weights_changed"] for line in lines)
    assert {r["advantage"] for r in session.run.read("rollouts")} == {0.0}
    assert [a["sign"] for a in session.run.read("alarms")] == ["equal-rewards"]


def test_the_guard_reads_the_rewards_and_not_the_advantages():
    """Under sft an advantage says who was guided; rewards 0, .5 and 1 give the middle one an advantage of 0."""
    from tests.experiment.test_guards import HEALTHY

    line = HEALTHY | {"zero_advantage_fraction": 1.0, "equal_rewards_fraction": 0.0}
    watch = Watch(load_config(DEMO).guards)
    assert not [a for s in range(30) for a in watch.see({"step": s, **line})]
    idle = HEALTHY | {"guided_fraction": 0.0, "equal_rewards_fraction": 0.2, "loss": 0.0, "weights_changed": False, "gamma": 0}
    watch = Watch(load_config(DEMO).guards, "sft")
    assert not [a for s in range(30) for a in watch.see({"step": s, **idle})]


# ---- steps without any gradient


def train(model, tokenizer, reward, cls=ThinkTuningTrainer, seed=3, **settings):
    own = {k: settings.pop(k) for k in ("guide", "shaping", "imitate", "skip_empty_steps", "sampler") if k in settings}
    settings = {
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 32,
        "max_steps": 5,
        "learning_rate": 1e-3,
        "optim": "adamw_torch",
        "lr_scheduler_type": "constant",
        "shuffle_dataset": False,
        "remove_unused_columns": False,
    } | settings
    trainer = cls(
        model=copy.deepcopy(model),
        args=cpu_config(seed=seed, **settings),
        processing_class=tokenizer,
        train_dataset=question_rows(QUESTIONS, 8),
        reward_funcs=[reward],
        **own,
    )
    trainer.train()
    return trainer


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def two_steps_then_nothing():
    """Rewards with spread in the first two steps, the same for all from then on."""

    def reward(completions, trainer_state, **_):
        if trainer_state.global_step >= 2:
            return [1.0] * len(completions)
        return [(len(c[0]["content"]) * 7 % 11) / 5 for c in completions]

    return reward


@pytest.mark.parametrize("shaping, imitate", [(v, False) for v in ("aas", "luffy", "ratio", "authors")] + [("ratio", True)])
def test_a_step_without_gradient_moves_nothing_whatever_the_method(shaping, imitate, model, tokenizer):
    def guide(rollouts, step, generation):
        return list(rollouts) if imitate and step >= 2 else fixed_guide(tokenizer)(rollouts, step, generation)

    options = {
        "guide": guide,
        "sampler": sampler(tokenizer),
        "shaping": Shaping(shaping),
        "imitate": imitate,
        "weight_decay": 0.1,
    }
    after = {n: train(model, tokenizer, two_steps_then_nothing(), max_steps=n, **options).model for n in (2, 5)}
    assert not same_weights(after[2], model), "training changed nothing, so the comparison proves nothing"
    assert same_weights(after[5], after[2])


def sampler(tokenizer):
    return Sampler(32, (tokenizer.eos_token_id,), tokenizer.pad_token_id)


def test_the_key_gives_trls_way_back(model, tokenizer):
    """Adam on its momentum, step by step what stock TRL does; by default it differs."""
    runs = {
        name: train(model, tokenizer, two_steps_then_nothing(), cls, **options)
        for name, cls, options in (
            ("trl", GRPOTrainer, {}),
            ("as trl", ThinkTuningTrainer, {"skip_empty_steps": False}),
            ("default", ThinkTuningTrainer, {}),
        )
    }
    flat = {name: torch.cat([p.detach().flatten() for p in t.model.parameters()]) for name, t in runs.items()}
    apart = (flat["default"] - flat["trl"]).norm()
    assert apart > 0.1 and (flat["as trl"] - flat["trl"]).norm() < 1e-3 * apart


@pytest.mark.parametrize("value, wanted", [("true", [True, True, False, False]), ("false", [True] * 4)])
def test_the_key_reaches_the_trainer_from_a_config(value, wanted, tmp_path):
    from dataclasses import replace

    session = build(
        load_config(DEMO, [*SMALL, "loss.method=grpo", "train.steps=4", f"train.skip_empty_steps={value}"]), tmp_path / "run"
    )

    def score(rollouts):
        early = session.trainer.state.global_step < 2
        return [replace(r, rewards={"correct": float(early and k % 2), "behavior": 0.0}) for k, r in enumerate(rollouts)]

    session.trainer.score = score
    session.train()
    assert [line["weights_changed"] for line in session.run.read("metrics")] == wanted


@pytest.mark.parametrize("scaled", [False, True], ids=["fp32", "fp16 with a loss scaler"])
def test_an_empty_step_keeps_weights_and_state_also_under_a_loss_scaler(scaled):
    Accelerator(cpu=True)
    weight, frozen = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))
    inner = torch.optim.AdamW([weight, frozen], lr=0.1, weight_decay=0.5)
    skip_empty_steps(inner)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0) if scaled else None
    optimizer = AcceleratedOptimizer(inner, device_placement=False, scaler=scaler)

    def step(factor, clip=False):
        optimizer.zero_grad()
        loss = (weight * factor).sum()
        (scaler.scale(loss) if scaled else loss).backward()
        if scaled and clip:
            scaler.unscale_(inner)
        if clip:
            torch.nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()
        return weight.detach().clone(), copy.deepcopy(inner.state[weight]), optimizer.step_was_skipped

    moved, state, _ = step(1.0)
    assert not torch.equal(moved, torch.ones(3))
    for clip in (False, True):
        now, state_now, skipped = step(0.0, clip)
        assert torch.equal(now, moved) and not skipped  # not what the scaler calls skipped: the schedule goes on
        assert all(torch.equal(state[k], state_now[k]) for k in state)
    if scaled:
        assert not torch.isnan(step(torch.inf)[0]).any() and optimizer.step_was_skipped  # an overflow is still the scaler's
    assert not torch.equal(step(1.0)[0], moved)


# ---- the KL term


@pytest.mark.parametrize("variant, imitate", [("ratio", False), ("ratio", True), ("luffy", False), ("authors", False)])
def test_no_method_puts_kl_on_teacher_tokens(variant, imitate, model, tokenizer):
    """With no advantage anywhere the KL alone trains; its gradient must not change when the teacher's reference does."""
    trainer = train(
        model,
        tokenizer,
        noisy_reward_of(tokenizer),
        guide=fixed_guide(tokenizer),
        shaping=Shaping(variant),
        imitate=imitate,
        beta=0.5,
        max_steps=2,
        sampler=sampler(tokenizer),
    )
    batch = next(b for b in trainer._buffered_inputs if b["teacher_mask"].any())

    def gradient(shift):
        inputs = {k: v.clone() if torch.is_tensor(v) else v for k, v in batch.items()}
        inputs["advantages"] = torch.zeros_like(inputs["advantages"])
        inputs["ref_per_token_logps"] = inputs["ref_per_token_logps"] + shift
        trainer.model.zero_grad()
        trainer.compute_loss(trainer.model, inputs).backward()
        return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])

    teacher, student = batch["teacher_mask"], batch["completion_mask"] * (1 - batch["teacher_mask"])
    plain = gradient(0.0)
    torch.testing.assert_close(gradient(-0.7 * teacher), plain, rtol=1e-5, atol=1e-7)
    assert (gradient(-0.7 * student) - plain).norm() > 0.01 * plain.norm()


def noisy_reward_of(tokenizer):
    return lambda completions, rollout, **_: noisy_reward(completions, rollout)


# ---- micro-batches


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("minibatches, beta", [(1, 0.0), (2, 0.3)])
def test_no_loss_depends_on_the_micro_batch(loss_type, minibatches, beta, model, tokenizer):
    """16 answers a generation, in one or two optimizer steps, each in one forward pass or in many."""
    runs, reward = {}, noisy_reward_of(tokenizer)
    for micro in (16 // minibatches, 4, 2):
        trainer = train(
            model,
            tokenizer,
            reward,
            guide=fixed_guide(tokenizer),
            loss_type=loss_type,
            beta=beta,
            max_steps=minibatches,
            optim="sgd",
            learning_rate=1.0,
            max_grad_norm=1e9,
            sampler=sampler(tokenizer),
            per_device_train_batch_size=micro,
            steps_per_generation=16 // micro,
            gradient_accumulation_steps=16 // minibatches // micro,
        )
        runs[micro] = torch.cat([(p - q).flatten() for p, q in zip(trainer.model.parameters(), model.parameters(), strict=True)])
    whole, *split = runs.values()
    assert whole.norm() > 1e-4
    for part in split:
        assert (part - whole).norm() < 1e-3 * whole.norm()


def test_bnpo_equals_trls_where_the_micro_batch_is_the_whole_step(model, tokenizer):
    stock, ours = (
        train(
            model, tokenizer, two_steps_then_nothing(), cls, loss_type="bnpo", max_steps=2, optim="sgd", learning_rate=0.5
        ).model
        for cls in (GRPOTrainer, ThinkTuningTrainer)
    )
    for mine, theirs in zip(ours.parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_bnpo_over_steps_that_span_generations_is_refused(model, tokenizer):
    with pytest.raises(ConfigError, match=r"steps_per_generation .now 1. .* multiple of gradient_accumulation_steps"):
        train(model, tokenizer, two_steps_then_nothing(), loss_type="bnpo", gradient_accumulation_steps=2, steps_per_generation=1)


def test_the_advice_on_memory_may_promise_the_same_result():
    """The advice to lower train.micro_batch says so; test_no_loss_depends_on_the_micro_batch is its proof."""
    from thinklab.experiment.longest_batch import _less_training

    assert "the result stays the same" in _less_training(load_config(DEMO, ["train.micro_batch=8"]))
    assert "the result stays the same" in Path(ROOT / "docs" / "run-on-a-gpu.md").read_text(encoding="utf-8")
