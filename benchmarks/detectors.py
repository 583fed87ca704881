"""How good are the shipped detectors? Precision and recall on the labeled texts, and false alarms on real answers.

    python benchmarks/detectors.py                                  # the table of docs/behaviors.md
    python benchmarks/detectors.py --answers model_solutions.jsonl  # real answers: {"response": ...} on each line

Three sets of labeled texts, all written by hand by the author of the patterns (``tests/data/behaviors``):

- tuned: the patterns were made and mended on these, so the figures only say that nothing broke since;
- form: written after the patterns, in the words that the behavior's prompt asks the teacher for. Never tuned on;
- paraphrase: written after the patterns, and putting the behavior in other words on purpose. Never tuned on.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path

from thinklab.behavior.behavior import Behavior, list_behaviors, load_behavior

TEXTS = Path(__file__).parent.parent / "tests" / "data" / "behaviors"
SETS = {"tuned": TEXTS, "form": TEXTS / "unseen-form", "paraphrase": TEXTS / "unseen-paraphrase"}


@dataclass(frozen=True)
class Score:
    """Counts over one set: texts that show it and are found, do not and are found, do and are not found."""

    hits: int
    false_alarms: int
    missed: int
    size: int

    @property
    def precision(self) -> float:
        """Of the texts found, the share that show it; 1 where nothing was found."""
        return self.hits / found if (found := self.hits + self.false_alarms) else 1.0

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + self.missed)

    def __str__(self) -> str:
        return f"{self.precision:.2f} / {self.recall:.2f} ({self.size})"


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def score(behavior: Behavior, path: Path) -> Score:
    """The detector of ``behavior`` on the labeled texts in ``path``."""
    rows = read(path)
    pairs = [(bool(behavior.detect(row["text"])), row["shows"]) for row in rows]
    return Score(pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)), len(rows))


def forms(response: str) -> dict[str, str]:
    """A real answer as it is; with its last line ``A: 12`` as a box; and between two boxes, where most detectors look."""
    body, _, answer = response.rpartition("\nA:")
    box = f"So \\boxed{{{answer.strip()}}}."
    return {"as it is": response, "boxed": f"{body}\n{box}", "between two boxes": f"{box} {body}\n{box}"}


def false_alarms(behavior: Behavior, responses: list[str]) -> dict[str, int]:
    """In each form, how many of the real answers the detector finds. The behaviors are absent from all of them."""
    counts = {"as it is": 0, "boxed": 0, "between two boxes": 0}
    for response in responses:
        for form, text in forms(response).items():
            counts[form] += bool(behavior.detect(text))
    return counts


def table() -> str:
    """The Markdown table of docs/behaviors.md: precision / recall (texts)."""
    lines = ["| behavior | tuned | unseen, in the asked form | unseen, paraphrased |", "| --- | --- | --- | --- |"]
    for name in list_behaviors():
        behavior = load_behavior(name)
        cells = [str(score(behavior, path)) if (path := folder / f"{name}.jsonl").is_file() else "" for folder in SETS.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(re.sub(r" +\|", " |", line) for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=Path, help="JSONL of real answers without the behaviors")
    answers = parser.parse_args().answers
    print(table())
    if answers is not None:
        responses = [row["response"] for row in read(answers)]
        print(f"\nfalse alarms in {len(responses)} real answers")
        for name in list_behaviors():
            print(f"  {name:24} {false_alarms(load_behavior(name), responses)}")


if __name__ == "__main__":
    main()
