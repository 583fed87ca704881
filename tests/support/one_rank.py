"""One process of tests/method/test_data_parallel.py: ``main`` with OUT, with torchrun's variables set.

One step of the trainer with guided rollouts; what its loss saw and gave, and the weights before and after, go into ``OUT``.
"""

from __future__ import annotations

import sys

import torch
from transformers import LlamaForCausalLM

from tests.method import test_trainer_formula as formula
from thinklab.students import TINY
from thinklab.students.make_tiny import build_tokenizer
from thinklab.trainer import ThinkTuningTrainer


class Kept(ThinkTuningTrainer):
    def __init__(self, *args, **kwargs):
        self.calls = []
        super().__init__(*args, **kwargs)

    def compute_loss(self, model, inputs, **kwargs):
        seen = {k: v.clone() if torch.is_tensor(v) else v for k, v in inputs.items()}
        before = weights(self.accelerator.unwrap_model(model))
        loss = super().compute_loss(model, inputs, **kwargs)
        self.calls.append((type(model).__name__, before, seen, loss.item()))
        return loss


def weights(model):
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def main():
    torch.set_num_threads(1)
    formula.Spy = Kept
    model = LlamaForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    trainer = formula.run(
        model, build_tokenizer(), formula.SHAPING, max_steps=1, per_device_train_batch_size=4, ddp_backend="gloo"
    )
    args = {k: getattr(trainer.args, k) for k in ("temperature", "epsilon", "delta", "loss_type", "steps_per_generation")}
    after = weights(trainer.accelerator.unwrap_model(trainer.model))
    torch.save({"calls": trainer.calls, "after": after, "args": args, "rate": trainer.args.learning_rate}, sys.argv[1])
