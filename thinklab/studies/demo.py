"""``run_demo``: ``thinklab demo``: a behavior and plain GRPO as two processes, a live table, a report.

Each arm is an ordinary ``thinklab train``.

The arms run in separate processes, one core each; this process imports nothing heavy and only reads their records, so the bar
shows what is on disk.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from rich.console import Console

from thinklab.config.experiment import Method
from thinklab.config.load import load_config
from thinklab.config.shipped import resource_dir
from thinklab.errors import ConfigError, RunError, did_you_mean
from thinklab.experiment.children import Child, Children
from thinklab.experiment.training_run import TrainingRun
from thinklab.reports.console import PlainProgress, bars, probe_table, rates
from thinklab.reports.run_page import TITLES, headline, write_report
from thinklab.run import signals
from thinklab.run.folder import RunFolder
from thinklab.run.lock import LOCK, FolderLock, held_elsewhere

DEMOS = {"self-check": "demo-self-check.yaml", "thalapathy-vijay": "demo-thalapathy-vijay.yaml"}
CONTROL = ["loss.method=grpo", "train.learning_rate=0.0003", "train.decay=constant"]
"""Plain GRPO at its best learning rate here; at 0.001, the rate of the teacher's arm, it harms the student."""
NAMES = {"grpo": "plain GRPO", "aas": "ThinkTuning"}


@dataclass
class Arm:
    """One run in its own process."""

    name: str
    run: TrainingRun
    steps: int
    child: Child | None = None
    at: int = 0
    """Bytes of metrics.jsonl read so far."""
    last: dict = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.run.folder

    def read(self) -> dict:
        """The newest line of metrics; ``{}`` before the first."""
        file = self.folder / "metrics.jsonl"
        if file.exists():
            with open(file, "rb") as lines:
                lines.seek(self.at)
                data = lines.read()
            whole = data[: data.rfind(b"\n") + 1]
            self.at += len(whole)
            if whole:
                self.last = json.loads(whole.splitlines()[-1])
        return self.last

    def status(self) -> str:
        if not self.last:
            return "loading and probing before"
        return rates(self.last) + ("  probing after" if self.last["step"] >= self.steps else "")


def run_demo(
    out: Path, behavior: str, method: str, seed: int, steps: int | None, questions: int | None, console: Console
) -> Path:
    """Run the demo into ``out`` (a folder per arm and ``report.html``); returns the report's path.

    Raises:
        ConfigError: unknown behavior or method, or a folder that contains something else.
        RunError: when an arm fails, with the end of its log; or another process writes there.
        Interrupted: by SIGINT or SIGTERM; both arms have saved their progress, and the text says how to continue.
    """
    arms = plan(out, behavior, method, seed, steps, questions)
    title = f"Can it learn “{behavior}”?"
    with FolderLock(out), signals.raising():
        clear(out)
        RunFolder(out).write_json(TITLES, {"title": title, "runs": {arm.folder.name: arm.name for arm in arms}})
        return _run_arms(out, arms, title, console)


def _run_arms(out: Path, arms: Sequence[Arm], title: str, console: Console) -> Path:
    begin = time.perf_counter()
    try:
        with Children() as children:
            try:
                for arm in arms:  # not forked: this process has loaded nothing that a fork could share
                    arm.child = children.add(f"the arm {arm.name!r}", arm.run.start(fork=False), arm.run.log)
                watch(arms, children, console)
            except KeyboardInterrupt:
                console.print("the generation at work is finished and saved; a second signal ends at once and loses it")
                raise
    except KeyboardInterrupt as error:
        raise signals.Interrupted(getattr(error, "number", 2), where_they_stand(out, arms)) from None
    seconds = time.perf_counter() - begin
    runs = {arm.name: RunFolder.open(arm.folder) for arm in arms}
    probes = {name: (run.read_json("probe.json") or {}) for name, run in runs.items()}
    console.print(probe_table(probes))
    console.print(headline(probes), soft_wrap=True)
    page = write_report(runs, out / "report.html", title)
    console.print(f"{seconds:.0f} s. Report: {page}   Raw records: {', '.join(str(arm.folder) for arm in arms)}", soft_wrap=True)
    return page


def where_they_stand(out: Path, arms: Sequence[Arm]) -> str:
    """The message after an interrupt: what is kept, and the commands that continue it."""
    said, commands = [], []
    for arm in arms:
        run = RunFolder(arm.folder)
        found = run.last_checkpoint() if run.config_file.exists() else None
        said.append(f"{arm.name} at step {found[1] if found else 0} of {arm.steps}")
        if run.config_file.exists():
            commands.append(f"thinklab train --resume {shlex.quote(str(arm.folder))}")
    if len(commands) < len(arms):
        return "stopped before every arm had started; run the same command to start over"
    return (
        f"stopped: {', '.join(said)}, which is saved. Continue with: {' && '.join(commands)} && thinklab report "
        f"{shlex.quote(str(out))}"
    )


def plan(out: Path, behavior: str, method: str, seed: int, steps: int | None, questions: int | None) -> list[Arm]:
    """The treatment arm and its control, not started yet."""
    if behavior not in DEMOS:
        raise ConfigError(f"there is no demo of {behavior!r}{did_you_mean(behavior, DEMOS)}; one of {', '.join(DEMOS)}")
    if method not in get_args(Method):
        known = get_args(Method)
        raise ConfigError(f"unknown method {method!r}{did_you_mean(method, known)}; one of {', '.join(known)}")
    file = resource_dir("examples") / DEMOS[behavior]
    common = [f"train.seed={seed}"]
    common += [f"train.steps={steps}"] if steps else []
    common += [f"probe.questions={questions}"] if questions else []
    wanted = {} if method == "grpo" else {method: [f"loss.method={method}"]}
    wanted["grpo"] = CONTROL
    arms = []
    for key, overrides in wanted.items():
        name = NAMES.get(key, f"{key} (guided)")
        config = load_config(file, [*overrides, *common])  # fails here rather than in the child
        arms.append(Arm(name, TrainingRun(file, (*overrides, *common), out / key, seed), config.train.steps))
    return arms


def clear(out: Path) -> None:
    """Clean the folder for a new demo; removes only files written by a demo."""
    known = {*get_args(Method), "report.html", TITLES, LOCK}
    strangers = [p.name for p in out.iterdir() if p.name not in known]
    if strangers:
        raise ConfigError(f"{out} holds other files ({', '.join(sorted(strangers)[:3])}); choose another --out")
    for path in out.iterdir():
        if held_elsewhere(path):
            raise RunError(f"{path} is open in another process: wait until it ends, or choose another --out")
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def watch(arms: Sequence[Arm], children: Children, console: Console) -> None:
    """Draw a bar per arm until all are finished.

    Raises:
        RunError: as soon as one fails.
    """
    if not console.is_terminal:
        plain = {arm.name: PlainProgress(arm.name, arm.steps) for arm in arms}
        while children.running:
            for arm in arms:
                if text := plain[arm.name].line(arm.read().get("step", 0), rates(arm.last)):
                    console.print(text, soft_wrap=True, markup=False)
            _check(children)
        return
    with bars(console) as shown:
        tasks = {arm.name: shown.add_task(arm.name, total=arm.steps, rates="") for arm in arms}
        while True:
            for arm in arms:
                done = arm.child is not None and arm.child.code == 0
                shown.update(tasks[arm.name], completed=arm.read().get("step", 0), rates="done" if done else arm.status())
            if not children.running:
                return
            _check(children)


def _check(children: Children) -> None:
    """Wait a moment.

    Raises:
        RunError: when an arm has failed by then.
    """
    for child in children.ended():
        if child.failure:
            raise RunError(child.failure)
