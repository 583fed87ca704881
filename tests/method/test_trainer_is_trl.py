"""Without a teacher the trainer is stock TRL: same losses, same final weights, over steps with ragged prompts."""

from __future__ import annotations

import copy

import pytest
import torch
from trl import GRPOTrainer

from tests.support.grpo import cpu_config, question_rows
from thinklab.errors import ConfigError
from thinklab.trainer import ThinkTuningTrainer

QUESTIONS = [
    "Tom has 12 figs and finds 4 more. How many?",
    "Zoe buys 37 pens, then 9 and 8 and 2 more. Total?",
    "There are 44 old keys and 5 and 5 and 6 red. How many in all?",
    "Ann buys 21 hats, then 3 more. Total?",
]


def by_length(completions, **_):
    return [(len(c[0]["content"]) % 7) / 3 for c in completions]


def train(cls, model, tokenizer, **settings):
    settings = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 32, "max_steps": 5} | settings
    trainer = cls(
        model=copy.deepcopy(model),
        args=cpu_config(learning_rate=0.5, optim="sgd", seed=3, **settings),
        processing_class=tokenizer,
        train_dataset=question_rows(QUESTIONS, 8),
        reward_funcs=[by_length],
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss_type": "grpo", "num_iterations": 2},
        {"beta": 0.1},
        {"delta": 1.3, "num_iterations": 2},
        {"steps_per_generation": 4, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
    ],
    ids=str,
)
def test_equals_stock_trl_without_a_teacher(settings, model, tokenizer, tmp_path):
    stock, ours = (train(cls, model, tokenizer, **settings) for cls in (GRPOTrainer, ThinkTuningTrainer))
    losses = [[line["loss"] for line in t.state.log_history if "loss" in line] for t in (stock, ours)]
    assert len(losses[0]) == 5 and any(abs(x) > 1e-4 for x in losses[0])
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    moved = 0.0
    for (name, theirs), mine, start in zip(
        stock.model.named_parameters(), ours.model.parameters(), model.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
        moved = max(moved, (theirs - start).abs().max().item())
    assert moved > 1e-3, "training changed nothing, so the comparison proves nothing"


@pytest.mark.parametrize(
    "option",
    [
        {"importance_sampling_level": "sequence"},
        {"loss_type": "cispo"},
        {"top_entropy_quantile": 0.5},
        {"off_policy_mask_threshold": 0.5},
        {"entropy_coef": 0.01},
    ],
    ids=str,
)
def test_options_that_teacher_tokens_would_break_are_refused(option, model, tokenizer):
    with pytest.raises(ConfigError, match=next(iter(option))):
        train(ThinkTuningTrainer, model, tokenizer, **option)
