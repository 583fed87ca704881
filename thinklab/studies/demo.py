"""``thinklab demo``: one habit, two arms side by side, a table and a report. No short cut: each arm is ``thinklab train``.

The arms run as processes of their own, one core each; this process imports nothing heavy and only reads the records
that they write, so what the bar shows is what is on disk.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
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
from thinklab.reports.console import PLAIN_EVERY, bars, probe_table, rates
from thinklab.reports.run_page import TITLES, headline, write_report
from thinklab.run import signals
from thinklab.run.folder import RunFolder
from thinklab.run.lock import LOCK, FolderLock, held_elsewhere

DEMOS = {"self-check": "demo-self-check.yaml", "thalapathy-vijay": "demo-thalapathy-vijay.yaml"}
CONTROL = ["loss.method=grpo", "train.learning_rate=0.0003", "train.decay=constant"]
"""Plain GRPO at the learning rate that suits it best here; at the teacher's arm's 0.001 it harms the student."""
NAMES = {"grpo": "plain GRPO", "aas": "ThinkTuning"}
POLL_S = 0.2


@dataclass
class Arm:
    """One run in its own process."""

    name: str
    folder: Path
    command: list[str]
    steps: int
    process: subprocess.Popen | None = None
    at: int = 0
    """Bytes of metrics.jsonl read so far."""
    last: dict = field(default_factory=dict)

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        log = open(self.folder / "log.txt", "wb")  # noqa: SIM115 - the child keeps it
        self.process = subprocess.Popen(
            self.command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )  # Ctrl-C is handed on once, by ``stop``
        log.close()

    def exit_code(self) -> int | None:
        """Of an arm that was started; None while it runs."""
        assert self.process is not None, "started before it is watched"
        return self.process.poll()

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
        ConfigError: unknown behavior or method, or a folder that holds something else.
        RunError: when an arm fails, with the end of its log; or another process writes there.
        Interrupted: by SIGINT or SIGTERM; both arms have saved where they stand, and the text says how to continue.
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
        for arm in arms:
            arm.start()
        watch(arms, console)
    except KeyboardInterrupt as error:
        console.print("the generation at work is finished and saved; a second signal ends at once and loses it")
        stop(arms)
        raise signals.Interrupted(getattr(error, "number", 2), where_they_stand(out, arms)) from None
    finally:
        stop(arms)
    seconds = time.perf_counter() - begin
    runs = {arm.name: RunFolder.open(arm.folder) for arm in arms}
    probes = {name: (run.read_json("probe.json") or {}) for name, run in runs.items()}
    console.print(probe_table(probes))
    console.print(headline(probes), soft_wrap=True)
    page = write_report(runs, out / "report.html", title)
    console.print(f"{seconds:.0f} s. Report: {page}   Raw records: {', '.join(str(arm.folder) for arm in arms)}", soft_wrap=True)
    return page


def stop(arms: Sequence[Arm]) -> None:
    """Let the arms finish the generation at work and save."""
    working = [arm.process for arm in arms if arm.process is not None and arm.process.poll() is None]

    def kill() -> None:
        for process in working:
            process.kill()

    signals.at_once.append(kill)
    try:
        for process in working:
            process.terminate()
        for process in working:
            process.wait()
    finally:
        signals.at_once.remove(kill)


def where_they_stand(out: Path, arms: Sequence[Arm]) -> str:
    """For whoever interrupted the demo: what is kept, and the commands that continue it."""
    said, commands = [], []
    for arm in arms:
        run = RunFolder(arm.folder)
        found = run.last_checkpoint() if run.config_file.exists() else None
        said.append(f"{arm.name} at step {found[1] if found else 0} of {arm.steps}")
        if run.config_file.exists():
            commands.append(f"thinklab train --resume {shlex.quote(str(arm.folder))}")
    if len(commands) < len(arms):
        return "stopped before every arm had begun; the same command begins again"
    return (
        f"stopped: {', '.join(said)}, which is saved. Continue with: {' && '.join(commands)} && thinklab report "
        f"{shlex.quote(str(out))}"
    )


def plan(out: Path, behavior: str, method: str, seed: int, steps: int | None, questions: int | None) -> list[Arm]:
    """The arm in question and its control, not started yet."""
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
        folder = out / key
        command = [sys.executable, "-m", "thinklab", "train", str(file), "--out", str(folder), "--quiet", *overrides, *common]
        arms.append(Arm(name, folder, command, config.train.steps))
    return arms


def clear(out: Path) -> None:
    """Make room for a new demo; only ever removes what a demo wrote."""
    known = {*get_args(Method), "report.html", TITLES, LOCK}
    strangers = [p.name for p in out.iterdir() if p.name not in known]
    if strangers:
        raise ConfigError(f"{out} holds other files ({', '.join(sorted(strangers)[:3])}); choose another --out")
    for path in out.iterdir():
        if held_elsewhere(path):
            raise RunError(f"{path} is open in another process: wait until it has ended, or choose another --out")
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def watch(arms: Sequence[Arm], console: Console) -> None:
    """Draw a bar per arm until all have ended.

    Raises:
        RunError: as soon as one has failed.
    """
    if not console.is_terminal:
        printed: dict[str, int] = {}
        while not _ended(arms):
            for arm in arms:
                step = arm.read().get("step", 0)
                if step // PLAIN_EVERY > printed.get(arm.name, 0):
                    printed[arm.name] = step // PLAIN_EVERY
                    console.print(f"{arm.name:<16} step {step}/{arm.steps}  {rates(arm.last)}")
            time.sleep(POLL_S)
        return
    with bars(console) as shown:
        tasks = {arm.name: shown.add_task(arm.name, total=arm.steps, rates="") for arm in arms}
        while True:
            ended = _ended(arms)
            for arm in arms:
                shown.update(
                    tasks[arm.name],
                    completed=arm.read().get("step", 0),
                    rates="done" if arm.exit_code() == 0 else arm.status(),
                )
            if ended:
                return
            time.sleep(POLL_S)


def _ended(arms: Sequence[Arm]) -> bool:
    for arm in arms:
        code = arm.exit_code()
        if code:
            log = arm.folder / "log.txt"
            tail = " / ".join(log.read_text("utf-8", "replace").strip().splitlines()[-3:])
            raise RunError(f"the arm {arm.name!r} ended with exit code {code}: {tail} (whole log: {log})")
    return all(arm.exit_code() == 0 for arm in arms)
