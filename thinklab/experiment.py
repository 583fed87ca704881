"""One run from beginning to end: probe the student, train it, probe it again. What ``thinklab train`` does."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thinklab import probe
from thinklab.config import Experiment
from thinklab.errors import RunError
from thinklab.run import RunFolder
from thinklab.training import Session, build

STAGES = ("before", "after")


def run_experiment(config: Experiment, out: Path, resume: bool = False, on_metrics: Callable[[dict], None] | None = None,
                   say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Train as ``config`` says into the run folder ``out``; returns what ``probe.json`` then holds.

    ``{"before": {decoding: result}, "after": {...}, "steps": N}``, each result as ``ProbeResult.to_json`` gives it.

    Raises:
        ThinklabError: when something cannot be used, or the run cannot go on.
    """
    session = build(config, out, resume)
    if session.guards is not None:
        session.guards.say = say
    if on_metrics:
        session.listeners.append(on_metrics)
    known = (session.run.read_json("probe.json") or {}) if resume else {}
    if "before" not in known:
        known = {"before": full_probe(session, "before")} if not (resume and session.run.last_checkpoint()) else {}
        session.run.write_json("probe.json", known)
    if cost := session.estimate():
        say(f"teacher, before the run: {cost}")
    session.train(resume)
    if session.stopped:
        say(f"stopped at step {session.trainer.state.global_step}: {session.stopped}. Everything is saved")
    known |= {"after": full_probe(session, "after"), "steps": session.trainer.state.global_step}
    session.run.write_json("probe.json", known)
    return known


def probe_run(path: Path, questions: int | None = None) -> dict[str, Any]:
    """Probe the last checkpoint of a run again; rewrites the part ``after`` of its ``probe.json``.

    Raises:
        RunError: when there is no run or no checkpoint in it.
    """
    run = RunFolder.open(path)
    found = run.last_checkpoint()
    if found is None:
        raise RunError(f"{path} has no complete checkpoint yet; continue the run with --resume first")
    config = Experiment.model_validate(run.resolved()["config"])
    session = build(config, path, resume=True)
    session.trainer._load_from_checkpoint(str(found[0]), session.student.model)
    known = (run.read_json("probe.json") or {}) | {"after": full_probe(session, "after", questions), "steps": found[1]}
    run.write_json("probe.json", known)
    return known


def full_probe(session: Session, stage: str, questions: int | None = None) -> dict[str, Any]:
    """Both decodings over the held-out questions; every answer goes to ``probe_samples.jsonl`` and replaces the last probe's."""
    lines = [line for line in session.run.read("probe_samples") if line["stage"] != stage]
    results = {}
    for decoding in probe.DECODINGS:
        samples = session.probe(decoding, questions)
        lines += [{"stage": stage, **asdict(s)} for s in samples]
        results[decoding] = probe.summarise(samples).to_json()
    session.run.rewrite("probe_samples", lines)
    return results
