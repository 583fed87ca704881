"""Does a habit carry over to sums longer than any the student has seen? ``python benchmarks/longer_sums.py RUN [RUN ...]``.

The embedded student's corpus and the task hold sums of two and four numbers. Each run's last checkpoint, and each student before
training, answer fresh sums of 2, 3, 4, 5, 6 and 8 numbers at T=1. Those of two and four are from the test split; of all but two
every single step may occur in training, so that the length is what is new. Prints a Markdown table: last answer right, first
answer right, share that shows the behavior.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch

from thinklab.behavior.behavior import load_behavior
from thinklab.config import cpu_allocator
from thinklab.config.experiment import Experiment
from thinklab.probing.probe import sample, summarize
from thinklab.run.folder import RunFolder
from thinklab.students import load_student
from thinklab.tasks import load_task
from thinklab.tasks.sums import FIRST, ITEMS, NAMES, OTHERS, TEMPLATES, is_held_out, operand_pool
from thinklab.types import Example

LENGTHS = (2, 3, 4, 5, 6, 8)
HIGHEST = 80
"""Running totals stay below this: beyond about 80 the student has never added anything."""


def questions(terms: int, count: int) -> list[Example]:
    """Sums of ``terms`` numbers that occur nowhere in training, made of steps that may (but for two numbers)."""
    rng, found = random.Random(f"longer {terms}"), {}
    while len(found) < count:
        if terms in (2, 4):
            operands = rng.choice(operand_pool("test", terms))
        else:
            operands = (rng.choice(FIRST), *(rng.choice(OTHERS) for _ in range(terms - 1)))
            if is_held_out(operands):
                continue
        if sum(operands) >= HIGHEST:
            continue
        text = rng.choice(TEMPLATES).format(
            name=rng.choice(NAMES), item=rng.choice(ITEMS), first=operands[0], rest=" and ".join(map(str, operands[1:]))
        )
        found.setdefault(
            text, Example(id=f"{terms}-{len(found)}", question=text, gold=str(sum(operands)), meta={"operands": list(operands)})
        )
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=200)
    args = parser.parse_args()
    cpu_allocator.tune()
    torch.set_num_threads(1)
    print(f"| run | {' | '.join(f'{n} numbers' for n in LENGTHS)} |\n|{' --- |' * (len(LENGTHS) + 1)}")
    seen = set()
    for path in args.runs:
        run = RunFolder.open(path)
        config = Experiment.model_validate(run.resolved()["config"])
        student, task = load_student(config.student, seed=config.train.seed), load_task("sums")
        behaviors = [load_behavior(b.name) for b in config.behaviors]
        who = config.student.path or config.student.kind
        stages = [] if who in seen else [f"{who}, before"]
        seen.add(who)
        for name in [*stages, str(path)]:
            if name == str(path):
                student.model.load_adapter(str(run.last_checkpoint()[0]), adapter_name="trained")
                student.model.set_adapter("trained")
            cells = []
            for terms in LENGTHS:
                found = sample(student, task, behaviors, questions(terms, args.questions), "T=1", args.max_tokens)
                r = summarize(found)
                shown = next(iter(r.behaviors.values())).value if r.behaviors else 0.0
                cells.append(f"{r.accuracy.value:.2f} ({r.first_accuracy.value:.2f}, {shown:.2f})")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
