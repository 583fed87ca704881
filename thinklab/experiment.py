"""One run from beginning to end: probe the student, train it, probe it again. What ``thinklab train`` does."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from thinklab.baselines import train_baseline
from thinklab.config import Experiment
from thinklab.devices import unused
from thinklab.probing.full import full_probe, paired
from thinklab.training import build


def run_experiment(config: Experiment, out: Path, resume: bool = False, on_metrics: Callable[[dict], None] | None = None,
                   say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Train as ``config`` says into the run folder ``out``; returns what ``probe.json`` then holds.

    ``{"before": {decoding: result}, "after": {...}, "steps": N, "difference": {...}}``, each result as
    ``ProbeResult.to_json`` gives it. ``thinklab probe`` measures more; see ``thinklab/probing/full.py``.

    Raises:
        ThinklabError: when something cannot be used, or the run cannot go on.
    """
    session = build(config, out, resume)
    if told := unused():
        say(told)
    if session.fits is not None:
        say(f"dry run: {session.fits}")
    if session.guards is not None:
        session.guards.say = say
    session.say = say
    session.check_start()
    if cost := session.estimate():
        say(f"teacher, before the run: {cost}")
    if on_metrics:
        session.listeners.append(on_metrics)
    known = (session.run.read_json("probe.json") or {}) if resume else {}
    if "before" not in known:
        known = {"before": full_probe(session, "before")} if not (resume and session.run.last_checkpoint()) else {}
        session.run.write_json("probe.json", known)
    if config.baseline is not None:
        steps = train_baseline(session, resume)
    else:
        session.train(resume)
        steps = session.trainer.state.global_step
    if session.stopped:
        say(f"stopped at step {steps}: {session.stopped}. Everything is saved")
    if hasattr(session.teacher, "summary"):
        say(f"teacher, after the run: {session.teacher.summary()}")
    known |= {"after": full_probe(session, "after"), "steps": steps, "stopped": session.stopped}
    known["difference"] = paired(session.run)
    session.run.write_json("probe.json", known)
    return known
