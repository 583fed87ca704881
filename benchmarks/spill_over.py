"""Where else does a habit show, and what did training cost elsewhere? ``python benchmarks/spill_over.py RUN [RUN ...]``.

Spill-over and retention alone, as ``thinklab probe`` measures them, without its thousands of held-out questions. Prints Markdown:
answers that show the behavior, before and after, by group of prompts, and KL to the base on neutral text.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from thinklab.behavior.behavior import load_behavior
from thinklab.config import cpu_allocator
from thinklab.config.experiment import Experiment
from thinklab.experiment.questions import answer_limit
from thinklab.probing import spill_over
from thinklab.probing.retention import Retention
from thinklab.run.folder import RunFolder
from thinklab.students import load_student


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    args = parser.parse_args()
    cpu_allocator.tune()
    torch.set_num_threads(1)
    print(f"| run | {' | '.join(spill_over.PROMPTS)} | KL, nats a token |\n|{' --- |' * (len(spill_over.PROMPTS) + 2)}")
    for path in args.runs:
        run = RunFolder.open(path)
        config = Experiment.model_validate(run.resolved()["config"])
        student = load_student(config.student, seed=config.train.seed)
        behaviors = [load_behavior(b.name) for b in config.behaviors]
        retention = Retention.of(student)
        student.model.load_adapter(str(run.last_checkpoint()[0]), adapter_name="trained")
        student.model.set_adapter("trained")
        room = answer_limit(config)
        before, after = (spill_over.measure(student, behaviors, max_new_tokens=room, base=base)[0] for base in (True, False))
        name = behaviors[0].name
        cells = [f"{before[g][name]['count']} -> {after[g][name]['count']} of {after[g][name]['total']}" for g in after]
        kl = retention.estimate()
        print(f"| {path} | {' | '.join(cells)} | {kl.value:.4f} [{kl.low:.4f}, {kl.high:.4f}] |", flush=True)


if __name__ == "__main__":
    main()
