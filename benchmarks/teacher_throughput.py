"""How much faster a teacher behind a network is asked at once than one by one, and how much of its wait work can cover.

    python benchmarks/teacher_throughput.py [--requests 64] [--latency 1.0] [--concurrency 64]

Runs the real Anthropic SDK against a server on this machine that answers after a fixed time. Prints what it measured;
checks nothing, since the figures depend on the machine. The sequential loop takes requests x latency seconds. The last
table is a training step: the peer that asks one by one, asking all at once when sampling has ended, and what a run does.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.fake_server import KEY, Server
from thinklab.config.load import load_config
from thinklab.experiment.build import build
from thinklab.teachers import TeacherRequest, load_teacher
from thinklab.teachers.remote import RemoteTeacher
from thinklab.types import Example

T = TypeVar("T")
LONG = "Rules and few-shots stand here. " * 100  # enough for the service's prompt cache


def requests(count: int, system: str, start: int) -> list[TeacherRequest]:
    out = []
    for k in range(start, start + count):
        example = Example(f"e{k}", f"What is 12+7? ({k})", "19")
        text = f"12+7=18. So \\boxed{{18}}. ({k})"
        out.append(
            TeacherRequest(
                f"0-{k}", ({"role": "system", "content": system}, {"role": "user", "content": text}), example, text, "self-check"
            )
        )
    return out


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def teacher(server: Server, concurrency: int) -> RemoteTeacher:
    made = load_teacher("anthropic", base_url=server.url, concurrency=concurrency, cache=False)
    made.check()  # opens a connection, as a run does before it starts
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--latency", type=float, default=1.0)
    parser.add_argument("--concurrency", type=int, default=64)
    args = parser.parse_args()
    os.environ["ANTHROPIC_API_KEY"] = KEY
    count, latency = args.requests, args.latency

    with Server(latency_s=latency) as server:
        together = teacher(server, args.concurrency)
        short = seconds(lambda: together.reply(requests(count, "You teach.", 0)))
        cold = seconds(lambda: together.reply(requests(count, LONG, 1000)))
        warm = seconds(lambda: together.reply(requests(count, LONG, 2000)))
        one_by_one = teacher(server, 1)
        loop = seconds(lambda: [one_by_one.reply([r]) for r in requests(count, "You teach.", 3000)])

        arms = {
            "one by one": step(server, 1, early=False),
            "at once, when all are sampled": step(server, args.concurrency, early=False),
            "at once, each group when it has ended": step(server, args.concurrency, early=True),
            "the same, sampled in 4 parts (sample_rows=64)": step(server, args.concurrency, early=True, rows=64),
        }

    print(f"{count} requests, {latency:g} s each, concurrency {args.concurrency}")
    for name, took in (
        ("one by one", loop),
        ("at once", short),
        ("at once, prefix cached", warm),
        ("at once, prefix not cached yet (1 call first)", cold),
    ):
        print(f"  {name:<50} {took:8.2f} s   {loop / took:6.1f} x")
    print("stages 1 and 2 of a real training step, 32 questions x 8 answers, 64 of them guided")
    slow = arms["one by one"][0]
    for name, (took, sampling) in arms.items():
        print(f"  {name:<50} {took:8.2f} s   {slow / took:6.1f} x   sampling {sampling:.2f} s, then {took - sampling:.2f} s")


def step(server: Server, concurrency: int, early: bool, rows: int = 0, steps: int = 2) -> tuple[float, float]:
    """Mean seconds of (sampling and guidance, sampling alone) over ``steps`` real steps of the demo's student; one warms up."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(
            Path(__file__).parents[1] / "examples" / "demo-self-check.yaml",
            [
                f"teacher={{backend: anthropic, cache: false, concurrency: {concurrency}}}",
                f"teacher.base_url={server.url}",
                f"steps={steps + 1}",
                "questions=32",
                "samples=8",
                f"sample_rows={rows}",
                "probe.every=0",
                "checkpoint_every=0",
                "guards.action=off",
            ],
        )
        session = build(config, Path(folder) / "run")
        trainer, took, sampled = session.trainer, [], []
        if not early:
            session.teaching.guide.begin = lambda *_: None
        generate, sample = trainer._generate, trainer.sampler
        trainer._generate = lambda *given: timed(lambda: generate(*given), took)
        trainer.sampler = lambda *given, **named: timed(lambda: sample(*given, **named), sampled)
        session.train()
    return sum(took[1:]) / steps, sum(sampled[1:]) / steps


def timed(work: Callable[[], T], into: list[float]) -> T:
    start = time.perf_counter()
    try:
        return work()
    finally:
        into.append(time.perf_counter() - start)


if __name__ == "__main__":
    main()
