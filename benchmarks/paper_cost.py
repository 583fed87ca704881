"""What the paper's table costs on this machine, from tokens per second measured here and now.

    python benchmarks/paper_cost.py                                                    # the embedded student, tiny grid: a trial
    python benchmarks/paper_cost.py --train examples/paper/lora.yaml --table examples/paper/table.yaml       # on a GPU
    python benchmarks/paper_cost.py --train examples/paper/lora.yaml --table examples/paper/table.yaml student.quantize=nf4

Two measurements, each on what is really run: two whole generations of the training (the second one counts: sampling, teacher,
optimizer steps), and one batch of answers of each solver to each benchmark. The rest is multiplication, and printed as such:

    training hours = generations x seconds of a generation / 3600
    answering hours = questions x runs x seconds per question / 3600, over benchmarks and methods

Left out: loading models, grading, and what another machine does: there is no figure for a machine that this has not run on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from thinklab.config.load import load_config
from thinklab.evaluation.plan import load_evaluation
from thinklab.evaluation.questions import draw_questions
from thinklab.evaluation.solvers import Writer, load_solver
from thinklab.experiment.build import build
from thinklab.students import load_student

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Training:
    generations: int
    seconds: float
    """Of one generation."""
    tokens: float
    """Sampled by the student in one generation."""

    @property
    def hours(self) -> float:
        return self.generations * self.seconds / 3600


def measure_training(file: Path, overrides: list[str], out: Path) -> Training:
    """Seconds of the second generation; the first one warms up."""
    config = load_config(file, overrides)
    span = config.train.iterations * config.train.minibatches
    brief = [f"train.steps={2 * span}", "train.checkpoint_every=0", "probe.every=0", "guards.action=off"]
    short = load_config(file, [*overrides, *brief])
    session = build(short, out)
    session.train()
    lines = list(session.run.read("metrics"))
    first, last = lines[span - 1]["seconds"], lines[-1]["seconds"]
    rollouts = [r for r in session.run.read("rollouts") if r["generation"] == 1]
    return Training(config.train.steps // span, last - first, sum(len(r["student_ids"]) for r in rollouts))


@dataclass(frozen=True)
class Cell:
    benchmark: str
    method: str
    questions: int
    runs: int
    seconds: float
    """Per question, in a full batch."""
    tokens: float
    """Per question."""

    @property
    def hours(self) -> float:
        return self.questions * self.runs * self.seconds / 3600


def measure_answers(file: Path, overrides: list[str], out: Path) -> list[Cell]:
    """One batch per method and benchmark. Trained methods are asked like zero-shot and are taken to write as much."""
    config = load_evaluation(file)
    given = dict(o.split("=", 1) for o in overrides)
    same = {k: given[f"student.{k}"] for k in ("quantize", "path", "dtype") if f"student.{k}" in given}
    student = load_student(config.student.model_copy(update={"lora": None, **same}))
    questions, cells, known = draw_questions(config, out, list(config.benchmarks)), [], {}
    for benchmark, asked in questions.items():
        for method, m in config.methods.items():
            key = (benchmark, m.solver.model_dump_json())
            if key not in known:
                part = asked.examples[: config.rows]
                writer = Writer(student, config.longest(benchmark), config.temperature, config.rows)
                begin = time.perf_counter()
                answers = load_solver(m.solver.name, **m.solver.options)(writer, asked.task, part)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                known[key] = (time.perf_counter() - begin) / len(part), sum(a.tokens for a in answers) / len(part)
            cells.append(Cell(benchmark, method, len(asked.examples), config.runs_of(benchmark), *known[key]))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", type=Path, default=ROOT / "examples" / "eval" / "tiny-train.yaml")
    parser.add_argument("--table", type=Path, default=ROOT / "examples" / "eval" / "tiny-grid.yaml")
    parser.add_argument("overrides", nargs="*", help="dotted.key=value for the training, such as student.quantize=nf4")
    args = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"machine: {device}\ntraining: {args.train} {' '.join(args.overrides)}\ntable: {args.table}\n")
    with tempfile.TemporaryDirectory() as folder:
        t = measure_training(args.train, args.overrides, Path(folder) / "run")
        print(
            f"one generation: {t.seconds:.1f} s, {t.tokens:.0f} tokens sampled, {t.tokens / t.seconds:.0f} tokens/s over all "
            f"of it"
        )
        print(f"training: {t.generations} generations x {t.seconds:.1f} s = {t.hours:.2f} h\n")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        cells = measure_answers(args.table, args.overrides, Path(folder))
    print("| method | " + " | ".join(dict.fromkeys(c.benchmark for c in cells)) + " | hours |")
    print("| --- |" + " --- |" * (1 + len({c.benchmark for c in cells})))
    for method in dict.fromkeys(c.method for c in cells):
        mine = [c for c in cells if c.method == method]
        rates = [f"{c.tokens / c.seconds:.0f} tokens/s, {c.hours:.2f} h" for c in mine]
        print(f"| {method} | {' | '.join(rates)} | {sum(c.hours for c in mine):.2f} |")
    trained = sum(len(m.train_seeds) for m in load_evaluation(args.table).methods.values() if m.train is not None)
    total = sum(c.hours for c in cells)
    print(
        f"\nanswering: {total:.2f} h; {trained} training runs, if each took as long as the one measured: "
        f"{trained * t.hours:.2f} h; "
        f"together {total + trained * t.hours:.2f} h"
    )


if __name__ == "__main__":
    main()
