"""``train_here``: what a training process started by thinklab itself runs; not the command line.

python -m thinklab.experiment.child_run '{"file": ..., "overrides": [...], "folder": ..., "resume": false}'
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path


def train_here(file: Path, overrides: Sequence[str], folder: Path, resume: bool) -> int:
    """Train in this process; what a person should read goes to stderr. Returns the exit code."""
    from rich.console import Console

    from thinklab.experiment.train import check_teacher_lasted, train
    from thinklab.run.ending import exit_code

    console = Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    return exit_code(lambda: check_teacher_lasted(*train(file, overrides, folder, resume, say=say)), console)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    sys.exit(train_here(Path(asked["file"]), asked["overrides"], Path(asked["folder"]), asked["resume"]))
