"""The child process that trains the control run of ``lab.compare``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from thinklab.errors import LabError


def main() -> None:
    from thinklab.lab.lab import Lab

    folder, step = Path(sys.argv[1]), int(sys.argv[2])
    plan = json.loads((folder / "plan.json").read_text("utf-8"))
    with Lab(plan["plan"], out=folder, quiet=True) as lab:
        if lab.step > step:
            raise LabError(f"the control in {folder} is already at step {lab.step}, past {step}")
        if lab.step < step:
            lab.train(step - lab.step)
        lab.measure(plan["questions"], plan["samples"], before=False)


if __name__ == "__main__":
    from rich.console import Console

    from thinklab.run.ending import exit_code

    sys.exit(exit_code(main, Console(stderr=True, highlight=False)))
