"""Which answers of MATH-500 does the mathematics verifier take for one another? Every different answer against every other.

    python benchmarks/answer_pairs.py ../shared/data/math500/test.jsonl

The tests draw 600 such pairs; this tries them all, both ways round, and prints those that are accepted although the texts differ.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tqdm import tqdm

from thinklab.tasks._math import final_answer, same


def main() -> None:
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text("utf-8").splitlines()]
    own = sum(same(final_answer(r["solution"]) or "", r["answer"]) for r in rows)
    answers = list(dict.fromkeys(r["answer"] for r in rows))
    accepted = [(a, b) for a in tqdm(answers) for b in answers if a != b and same(a, b)]
    print(f"{own} of {len(rows)} solutions verify against their own answers")
    print(f"{len(answers)} different answers, {len(answers) * (len(answers) - 1)} pairs, {len(accepted)} accepted:")
    for one, other in accepted:
        print(f"  {one!r} for {other!r}")


if __name__ == "__main__":
    main()
