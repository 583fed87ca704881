"""How much faster a teacher behind a network is asked at once than one by one, and how much of its wait work can cover.

    python benchmarks/teacher_throughput.py [--requests 64] [--latency 1.0] [--concurrency 64]

Runs the real Anthropic SDK against a server on this machine that answers after a fixed time. Prints what it measured;
checks nothing, since the figures depend on the machine. The sequential loop takes requests x latency seconds.
"""
from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.teachers.fake_server import KEY, Server
from thinklab.students import load_student
from thinklab.teachers import TeacherRequest, load_teacher
from thinklab.teachers.base import submit
from thinklab.teachers.remote import RemoteTeacher
from thinklab.types import Example

LONG = "Rules and few-shots stand here. " * 100      # enough for the service's prompt cache


def requests(count: int, system: str, start: int) -> list[TeacherRequest]:
    out = []
    for k in range(start, start + count):
        example = Example(f"e{k}", f"What is 12+7? ({k})", "19")
        text = f"12+7=18. So \\boxed{{18}}. ({k})"
        out.append(TeacherRequest(f"0-{k}", ({"role": "system", "content": system}, {"role": "user", "content": text}),
                                  example, text, "self-check"))
    return out


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def teacher(server: Server, concurrency: int) -> RemoteTeacher:
    made = load_teacher("anthropic", base_url=server.url, concurrency=concurrency, cache=False)
    made.check()                                     # opens a connection, as a run does before it starts
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

        student = load_student("embedded")
        prompts = [[{"role": "user", "content": r.example.question}] for r in requests(64, "", 0)]
        rounds = max(1, round(latency / seconds(lambda: student.answer(prompts, 4, 60))))

        def work() -> None:
            for _ in range(rounds):
                student.answer(prompts, 4, 60)

        alone = seconds(work)
        after = seconds(lambda: (together.reply(requests(count, LONG, 4000)), work()))

        def beside() -> None:
            future = submit(together, requests(count, LONG, 5000))
            work()
            future.result()

        overlapped = seconds(beside)

    print(f"{count} requests, {latency:g} s each, concurrency {args.concurrency}")
    for name, took in (("one by one", loop), ("at once", short), ("at once, prefix cached", warm),
                       ("at once, prefix not cached yet (1 call first)", cold)):
        print(f"  {name:<50} {took:8.2f} s   {loop / took:6.1f} x")
    print(f"other work of the step alone: {alone:.2f} s")
    for name, took in (("asked, then worked", after), ("asked and worked meanwhile", overlapped)):
        print(f"  {name:<50} {took:8.2f} s   {after / took:6.2f} x")


if __name__ == "__main__":
    main()
