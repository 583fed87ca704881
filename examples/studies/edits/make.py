"""Writes the three tables of replies that edited-guidance.yaml compares: ``python examples/studies/edits/make.py``.

``as-said.jsonl``: a teacher that is wrong half the time. ``edited.jsonl``: the same replies after somebody put every wrong
total right. ``rejected.jsonl``: the same after somebody threw the wrong ones out. The "somebody" is this script: it does
what a person with a pencil would do to these replies, and no person took part. Put a file of your own in its place.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from thinklab.tasks.sums import examples, steps

QUESTIONS, WRONG_SHARE = 400, 0.5


def reply(operands: tuple[int, ...], taught: int) -> str:
    *first, last = steps(operands)
    worked = " ".join([f"{a}+{b}={c}." for a, b, c in first] + [f"{last[0]}+{last[1]}={taught}."])
    return f"<opinion>incorrect</opinion><reason>I check: {worked}</reason><phrase>So \\boxed{{{taught}}}.</phrase>"


def main() -> None:
    rng = random.Random(0)
    tables: dict[str, list[dict[str, str]]] = {"as-said": [], "edited": [], "rejected": []}
    for example in rng.sample(examples("train"), QUESTIONS):
        operands, total = tuple(example.meta["operands"]), int(example.gold)
        wrong = rng.random() < WRONG_SHARE
        taught = total + rng.choice([-10, 10, rng.choice([-1, 1]) * rng.randint(1, 9)]) if wrong else total
        said, edited = ({"question": example.question, "reply": reply(operands, t)} for t in (taught, total))
        tables["as-said"].append(said)
        tables["edited"].append(edited)
        if not wrong:
            tables["rejected"].append(said)
    for name, rows in tables.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (Path(__file__).parent / f"{name}.jsonl").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
