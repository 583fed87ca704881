"""Which behaviors do the answers of a run show, taught or not? ``python benchmarks/which_words.py RUN [RUN ...]``.

A probe counts what was taught. This looks for every reflection that the sums' teacher knows (``tasks.sums.REFLECTIONS``) in the
recorded answers at T=1 after training, and prints Markdown: the share of answers with each, with any, and accuracy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from thinklab.behavior.behavior import load_behavior
from thinklab.run.folder import RunFolder
from thinklab.tasks.sums import REFLECTIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    args = parser.parse_args()
    behaviors = {name: load_behavior(name) for name in REFLECTIONS}
    print(f"| run | {' | '.join(behaviors)} | any | accuracy |\n|{' --- |' * (len(behaviors) + 3)}")
    for path in args.runs:
        answers = [s for s in RunFolder.open(path).read("probe_samples") if (s["stage"], s["decoding"]) == ("after", "T=1")]
        shown = [{name: bool(b.detect(s["text"])) for name, b in behaviors.items()} for s in answers]
        rates = [sum(x[name] for x in shown) / len(shown) for name in behaviors]
        either, right = sum(any(x.values()) for x in shown) / len(shown), sum(s["correct"] for s in answers) / len(answers)
        print(f"| {path} | {' | '.join(f'{r:.2f}' for r in [*rates, either, right])} |", flush=True)


if __name__ == "__main__":
    main()
