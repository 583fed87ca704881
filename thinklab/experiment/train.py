"""``train`` and ``run_experiment``: one whole run: probe, train, probe; resuming, interrupting, ending.

What loads PyTorch is imported once the student is known: it must be imported after Unsloth.
"""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

from thinklab.behavior.behavior import load_behavior
from thinklab.config.experiment import Experiment
from thinklab.config.load import load_config
from thinklab.errors import ConfigError, RunError, RunWarning, TeacherStopped
from thinklab.experiment.check_lines import check_lines
from thinklab.guide.rejections import outcomes, sentence
from thinklab.interop.own_code import content_hash, file_of
from thinklab.run.config_of_run import of_a_run, run_of
from thinklab.run.folder import RunFolder
from thinklab.run.lock import FolderLock
from thinklab.run.signals import Interrupted
from thinklab.run.usage import supervised_usage
from thinklab.students import unsloth_first
from thinklab.teachers.protocols import RefusesAboveCap, SumsUp

Say = Callable[[str], None]
OnMetrics = Callable[[dict[str, Any]], None]
Alongside = Callable[[Any], AbstractContextManager[None]]
"""A context that is open while a session trains, such as the review page."""
Listen = Callable[[Experiment], AbstractContextManager[OnMetrics | None]]


def train(
    source: Path,
    overrides: Sequence[str] = (),
    out: Path | None = None,
    resume: bool = False,
    profile: str | None = None,
    listen: Listen = lambda config: nullcontext(),
    say: Say = lambda text: None,
    alongside: Alongside | None = None,
) -> tuple[Experiment, Path, dict[str, Any]]:
    """``thinklab train`` without its command line.

    Args:
        source: an experiment in YAML or the ``config.yaml`` of a run; with ``resume``, a run folder, which is resumed with its
            original config.
        listen: receives the experiment; its context returns a listener for lines of metrics.

    Returns:
        The experiment, the run folder, and what ``run_experiment`` returns.

    Raises:
        ThinklabError: if an input is invalid, or the run cannot continue.
        Interrupted: if SIGINT or SIGTERM ended it; the text says its progress and how to continue.
    """
    config, out = request(Path(source), overrides, out, resume, profile)
    unsloth_first.import_first(config.student.kind)
    with listen(config) as listener:
        return config, out, run_experiment(config, out, resume, listener, say, alongside)


def request(
    source: Path, overrides: Sequence[str], out: Path | None, resume: bool, profile: str | None
) -> tuple[Experiment, Path]:
    """The experiment to train, and its folder.

    Raises:
        ThinklabError: if the config is invalid, or ``source`` is a run folder and the request is ambiguous.
    """
    run = run_of(source)
    if run is None:
        if resume and os.path.isdir(source):
            raise RunError(f"{source} is not a run folder: it has no config.yaml")
        config = load_config(source, overrides, profile, check_lines)
        return config, out or Path("runs") / config.name
    if source.is_dir() and not resume:
        raise ConfigError(
            f"{source} is a run folder: `thinklab train --resume {source}` resumes it, `thinklab train "
            f"{run.config_file} --out ANOTHER-FOLDER` starts a new run with its config"
        )
    try:
        config = load_config(run.config_file, overrides, profile, check_lines)
    except ConfigError as error:
        if str(error).startswith(f"{run.config_file}:"):
            raise of_a_run(error, run) from None
        raise
    if not resume:
        _compare_files(run, config)
    if resume and out is not None and out.resolve() != run.path.resolve():
        raise ConfigError(f"--resume {source} continues in that folder: omit --out {out}")
    return config, run.path if resume else out or Path("runs") / config.name


def _compare_files(run: RunFolder, config: Experiment) -> None:
    then = run.resolved()["behaviors"]
    for behavior in (load_behavior(section.name) for section in config.behaviors):
        if then.get(behavior.name, behavior.hash) != behavior.hash:
            warnings.warn(
                f"the behavior {behavior.name!r} has changed since {run.path} was started: the new run uses the current version",
                RunWarning,
                stacklevel=2,
            )
    for name, found in run.resolved().get("own_code", {}).items():
        if content_hash(name) != found:
            warnings.warn(
                f"{file_of(name) or repr(name)} has changed since {run.path} was started: the new run uses the current version",
                RunWarning,
                stacklevel=2,
            )


def run_experiment(
    config: Experiment,
    out: Path,
    resume: bool = False,
    on_metrics: OnMetrics | None = None,
    say: Say = lambda text: None,
    alongside: Alongside | None = None,
) -> dict[str, Any]:
    """Train as ``config`` says into the run folder ``out``; returns what ``probe.json`` then holds.

    ``{"before": {decoding: result}, "after": {...}, "steps": N, "difference": {...}}``, each result as from
    ``ProbeResult.to_json``. ``thinklab probe`` measures more; see ``thinklab/experiment/probe_run.py``. ``stopped`` says
    why a run ended early, ``failed`` that its teacher ended it (``check_teacher_lasted``). A finished run is not changed.

    Raises:
        ThinklabError: if an input is invalid, or the run cannot continue.
        ConfigError: if the teacher is likely to exceed a cap and ``on_cap`` is not set.
        Interrupted: if SIGINT or SIGTERM ended it; the text says its progress and how to continue.
    """
    out = Path(out)
    if resume and not RunFolder(out).config_file.exists():
        RunFolder.open(out)  # says so, before a lock is made there
    with FolderLock(out):
        try:
            if resume:
                run = RunFolder.open(out)
                if (ended := trained_steps(run, config)) is not None:
                    return _only_probe(config, out, ended, say)
                for _ in run.read("probe_samples"):  # what the last probe will read: damage there is said before training
                    pass
            return _run(config, out, resume, on_metrics, say, alongside)
        except KeyboardInterrupt as error:
            raise Interrupted(getattr(error, "number", 2), where_it_stands(RunFolder(out), config)) from None


def trained_steps(run: RunFolder, config: Experiment) -> int | None:
    """Optimizer steps of a run whose training has come to its end; None for one that has steps left."""
    found = run.last_checkpoint(thorough=True)
    if config.baseline is not None:  # its steps hang on the number of texts; they are written after the last one
        used = supervised_usage(run)
        return used["optimizer_steps"] if used and found else None
    return found[1] if found and found[1] >= config.train.steps else None


def _only_probe(config: Experiment, out: Path, steps: int, say: Say) -> dict[str, Any]:
    """A run without a step left: probe it where that was not done. No step, no teacher, no weight that changes."""
    from thinklab.config.ready_made import ReadyMade
    from thinklab.experiment.build import build, check_same
    from thinklab.experiment.session import Audience
    from thinklab.teachers.scripted import ScriptedTeacher

    run = RunFolder(out)
    check_same(run, config, [load_behavior(b.name) for b in config.behaviors])
    known = run.read_json("probe.json") or {}
    if "after" in known and known.get("steps") == steps:
        say(f"{out} is finished: all {steps} steps are trained and probed. Nothing was trained, and no teacher was asked")
        return known
    say(f"{out}: all {steps} steps are trained; what is missing is the probe after training")
    found = run.last_checkpoint(thorough=True)
    assert found is not None, "a run whose training has ended has its last checkpoint"
    session = build(config, out, True, ReadyMade(teacher=ScriptedTeacher(lambda request: None)), Audience(say))
    session.load(*found)
    return _probe_after(session, known, steps)


def _probe_after(session: Any, known: dict[str, Any], steps: int) -> dict[str, Any]:
    from thinklab.experiment.probe_run import paired

    if "before" not in known:
        warnings.warn(
            f"{session.run.path / 'probe.json'} does not say how the student was before training; `thinklab probe "
            f"{session.run.path}` measures that",
            RunWarning,
            stacklevel=2,
        )
    stopped = session.stopped  # by training: what the judge of the last probe does comes too late to stop it
    guide, judge = session.teaching.guide, session.teaching.judge
    early = guide is not None and steps < session.config.train.steps
    known |= {
        "after": session.prober.full("after"),
        "steps": steps,
        "stopped": stopped,
        "questions": session.prober.asked(),
        "failed": guide.failed if early else "",
    }
    known["difference"] = paired(session.run)
    session.run.write_json("probe.json", known)
    if judge is not None and (cost := judge.summary()):
        session.say(f"judge, after the run: {cost}")
    return known


def check_teacher_lasted(config: Experiment, out: Path, result: Mapping[str, Any]) -> None:
    """A run that its teacher ended is saved and probed, but it is not what was asked for.

    Raises:
        TeacherStopped: exit code 3, so that ``train && eval`` does not go on.
    """
    if result.get("failed"):
        raise TeacherStopped(
            f"{result['failed'].rstrip('.')}. The run ended at step {result['steps']} of {config.train.steps} "
            f"and is saved in {out}: fix the cause and continue with: thinklab train --resume {out}"
        )


def where_it_stands(run: RunFolder, config: Experiment) -> str:
    """For whoever interrupted a run: what is kept, and the command that continues it."""
    if not run.config_file.exists():
        return "stopped before anything was made; the same command begins again"
    try:
        ended, found = trained_steps(run, config), run.last_checkpoint()
    except RunError as error:
        return f"stopped; {error}"
    if ended is not None:
        at = f"after all {ended} steps, which are saved; the probe after training is missing"
    elif found:
        at = f"at step {found[1]}" + (f" of {config.train.steps}" if config.baseline is None else "") + ", which is saved"
    elif (run.path / RunFolder.PRIME).exists():
        at = f"before the first step was saved; what was imitated so far is in {run.path / RunFolder.PRIME}"
    else:
        at = "before the first step was saved"
    return f"stopped {at}. Continue with: thinklab train --resume {shlex.quote(str(run.path))}"


def _run(
    config: Experiment,
    out: Path,
    resume: bool,
    on_metrics: OnMetrics | None,
    say: Say,
    alongside: Alongside | None,
) -> dict[str, Any]:
    from thinklab.config.devices import unused
    from thinklab.experiment.baselines import prime, train_baseline
    from thinklab.experiment.build import build
    from thinklab.experiment.session import Audience

    if alongside is None and config.review is not None and config.review.pause:
        raise ConfigError("review.pause needs `thinklab train`, which serves the page for it; set review.pause=false here")
    session = build(config, out, resume, audience=Audience(say, (on_metrics,) if on_metrics else ()))
    if told := unused():
        say(told)
    if session.fits is not None:
        say(str(session.fits))
    teaching, last = session.teaching, session.run.last_checkpoint()
    if cost := teaching.estimate(config, session.data, last[1] if last else 0):
        say(f"teacher, before the run: {cost}")
        if not resume:
            refuse_above_cap(session, cost)
    if judging := teaching.estimate_judge(config, session.data):
        say(f"judge, before the run: {judging}")
    session.check_start()
    known = (session.run.read_json("probe.json") or {}) if resume else {}
    if "before" not in known:
        known = {"before": session.prober.full("before")} if not (resume and last) else {}
        session.run.write_json("probe.json", known)
    with session.finishing(), nullcontext() if alongside is None else alongside(session):
        if config.baseline is not None:
            steps = train_baseline(session, resume)
        else:
            if config.prime is not None:
                prime(session, resume)
            session.train(resume)
            steps = session.trainer.state.global_step
    if session.stopped:
        say(f"stopped at step {steps}: {session.stopped}. Everything is saved")
    if teaching.guide is not None:
        primed = RunFolder(session.run.path / RunFolder.PRIME)
        replies = outcomes(chain(session.run.read("rollouts"), session.run.read("texts"), primed.read("texts")))
        say(sentence(replies, ". Each trained without guidance, as in plain GRPO") or "replies: the teacher was never asked")
    if isinstance(teaching.teacher, SumsUp):
        say(f"teacher, after the run: {teaching.teacher.summary()}")
    session.check_signals()
    return _probe_after(session, known, steps)


def refuse_above_cap(session: Any, cost: Any) -> None:
    """A run whose money ends halfway is plain GRPO from there on, which is not what was asked for; so it does not begin.

    Raises:
        ConfigError: with what to change; the same run folder can be used then.
    """
    teacher = session.teaching.teacher
    if not isinstance(teacher, RefusesAboveCap):
        return
    try:
        teacher.refuse_above_cap(cost, "lower train.steps, train.questions or guidance.gamma")
    except ConfigError:
        session.run.config_file.unlink()
        raise
