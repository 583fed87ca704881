"""What would the guards say of recorded runs, and in time? ``python benchmarks/guard_replay.py RUN [RUN ...]``.

Reads the lines of ``metrics.jsonl`` and ``probes.jsonl`` as the guards read them live, with the limits as they are now. Prints
Markdown: the first two signs of collapse, the first cap and the first silent nothing, and the step at which accuracy on
rollouts (mean of five steps) fell below half of its best.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

from thinklab.config.experiment import Experiment
from thinklab.experiment.guards import WINDOW, Watch
from thinklab.run.folder import RunFolder


def halved(accuracy: list[float]) -> int | None:
    """The step, counted from 1; None where it never did."""
    best = 0.0
    for end in range(WINDOW, len(accuracy) + 1):
        now = fmean(accuracy[end - WINDOW : end])
        best = max(best, now)
        if now < best / 2:
            return end
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    args = parser.parse_args()
    print("| run | collapse | cap | silent nothing | accuracy halved |\n| --- | --- | --- | --- | --- |")
    for path in args.runs:
        run = RunFolder.open(path)
        config, metrics = Experiment.model_validate(run.resolved()["config"]), list(run.read("metrics"))
        watch = Watch(config.guards, config.loss.method, config.train.learning_rate, config.train.questions)
        said: dict[str, list[str]] = {"collapse": [], "cap": [], "silent": []}
        for line in sorted([*metrics, *run.read("probes")], key=lambda x: (x["step"], "decoding" not in x)):
            for alarm in (watch.see_probe if "decoding" in line else watch.see)(line):
                said[alarm.kind].append(f"`{alarm.sign}` {alarm.step}")
        cells = [", ".join(said["collapse"][:2]), *(", ".join(said[k][:1]) for k in ("cap", "silent"))]
        print(f"| {path} | {' | '.join(cells)} | {halved([m['own/accuracy'] for m in metrics if 'own/accuracy' in m]) or ''} |")


if __name__ == "__main__":
    main()
