"""What whole runs of two steps are checked for, whatever kind of student trains: their guidance, and that resuming changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from thinklab.config.experiment import Experiment
from thinklab.experiment.build import build
from thinklab.experiment.session import Session


def guidance_of(session: Session, answers: int) -> tuple[list[dict[str, Any]], set[str]]:
    """All guidance that a finished run of two steps has asked for, and the reasons of what was rejected; none of them is a fault
    of the call itself."""
    rows = list(session.run.read("rollouts"))
    asked = [r["guidance"] for r in rows if r["guidance"]]
    assert session.trainer.state.global_step == 2 and len(rows) == answers and asked
    reasons = {g["reason"] for g in asked if g["status"] == "rejected"}
    assert not reasons & {"prompt-too-long", "teacher-failed", "bad-request", "connection"}, reasons
    return asked, reasons


def resumed_after_one_step(session: Session, config: Experiment, folder: Path) -> Session:
    """A copy of a run of two steps that has lost its last checkpoint, resumed: it writes the same texts again."""
    shutil.copytree(session.run.path, folder)
    shutil.rmtree(folder / "checkpoints" / "checkpoint-2")
    again = build(config, folder, resume=True)
    again.train(resume=True)
    assert again.trainer.state.global_step == 2
    mine, theirs = (list(s.run.read("rollouts")) for s in (again, session))
    assert [r["text"] for r in mine] == [r["text"] for r in theirs]
    return again
