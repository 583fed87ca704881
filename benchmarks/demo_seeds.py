"""The demo's claim over several seeds: ``python benchmarks/demo_seeds.py --out runs/demo-seeds [--seeds 0 1 2]``.

Runs ``thinklab demo`` for each behavior and seed (a finished one is not run again) and prints a table in Markdown with the
targets. Times are wall clock, both arms side by side, and depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from thinklab.probing.stats import Rate

BEHAVIORS = ("self-check", "thalapathy-vijay")


def rate(data: dict) -> str:
    return Rate(data["count"], data["total"]).percent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo-seeds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--behaviors", nargs="+", default=list(BEHAVIORS), choices=BEHAVIORS)
    args = parser.parse_args()
    print("| behavior | seed | arm | decoding | accuracy before | accuracy after | behavior before | behavior after | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for behavior in args.behaviors:
        for seed in args.seeds:
            folder = args.out / f"{behavior}-{seed}"
            clock = folder.with_suffix(".seconds")
            if not clock.exists():
                begin = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "thinklab", "demo", "--behavior", behavior, "--seed", str(seed), "--out", str(folder)],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                clock.write_text(f"{time.perf_counter() - begin:.0f}")
            for arm in ("aas", "grpo"):
                found = json.loads((folder / arm / "probe.json").read_text("utf-8"))
                for decoding in ("T=1", "greedy"):
                    before, after = found["before"][decoding], found["after"][decoding]
                    rates = [rate(x["accuracy"]) for x in (before, after)]
                    rates += [rate(x["behaviors"][behavior]) for x in (before, after)]
                    print(
                        "|", " | ".join([behavior, str(seed), arm, decoding, *rates, clock.read_text().strip()]), "|", flush=True
                    )


if __name__ == "__main__":
    main()
