"""``StudioTraining``: the studio's training and its state; the ``suggestion`` of a sentence for the teacher.

A ``TrainingRun``, as in a study: its own process, its own run folder, and its experiment file beside the folder.
"""

from __future__ import annotations

import atexit
import re
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from thinklab.behavior.behavior import Behavior
from thinklab.behavior.detector_spec import walk
from thinklab.errors import BehaviorError, ThinklabError
from thinklab.experiment.children import Child, stop
from thinklab.experiment.training_run import TrainingRun
from thinklab.guide.sentence_fits import tried, why_not
from thinklab.run.folder import RunFolder
from thinklab.tasks import load_task
from thinklab.teachers.rules import REASON
from thinklab.teachers.scripted import ScriptedTeacher
from thinklab.types import Example

STEPS = 60
BONUS = 0.5
"""For a behavior without a bonus of its own: the embedded student answers these sums right, so accuracy alone would teach nothing."""
ANSWERS = 4
PATIENCE_S = 60.0


@cache
def _examples() -> list[Example]:
    return list(islice(load_task("sums", terms=[2]).load("train"), 8))


def suggestion(behavior: Behavior) -> tuple[str, str]:
    """A sentence that the behavior's own checks let pass, and the reason before it where the behavior splices one; ("", "") where
    none of the guesses passes."""
    spec = behavior.spec
    end = next((e for e in spec.guidance.must_end_with if not set(e) & set("{}")), ".")
    words = [*spec.guidance.must_contain, *(p for d in walk(spec.detector) if isinstance(p := getattr(d, "phrase", None), str))]
    started = [f"{w.strip()} {{gold}}{end}" for w in words if not set(w) & set("{}")]
    shots = spec.teacher.few_shots
    phrases = [*started, *(_with_gold(behavior._text(shot.phrase)) for shot in shots)]
    reasons = [REASON, *started, *(_with_gold(behavior._text(shot.reason)) for shot in shots)]
    if with_reason := "reason" in spec.splice.fields:
        phrases.insert(0, r"So \boxed{{{gold}}}.")
    for phrase in phrases:
        for reason in reasons if with_reason else [""]:
            try:
                if sentence_report(behavior, phrase, reason)["ok"]:
                    return phrase, reason
            except BehaviorError:
                continue
    return "", REASON if with_reason else ""


def _with_gold(text: str) -> str:
    """A few-shot's text with its last number, which is likely the result, as the placeholder."""
    text = _literal(text)
    numbers = re.findall(r"\d+", text)
    return re.sub(rf"\b{numbers[-1]}\b", "{gold}", text) if numbers else text


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def sentence_report(behavior: Behavior, phrase: str, reason: str = "") -> dict[str, Any]:
    """``ok``, and what to ``say`` about it: the guidance that it becomes, or why it cannot be used."""
    try:
        teacher = ScriptedTeacher(phrase=phrase, reason=reason or None)
    except ThinklabError as error:
        return {"ok": False, "say": str(error).removeprefix("the scripted teacher: ")}
    if why := why_not(teacher, behavior, _examples()):
        return {"ok": False, "say": why}
    found = [text for text, why in tried(teacher, behavior, _examples()) if not why]
    return {"ok": True, "say": f"passes the behavior's checks; it will read: {found[0]}" if found else "the teacher says nothing"}


def experiment(behavior: Behavior, file: Path, phrase: str, reason: str, steps: int) -> dict[str, Any]:
    """The experiment as YAML data."""
    bonus = {} if behavior.reward.bonus else {"reward": {"bonus": {behavior.name: BONUS}}}
    return {
        "name": f"{behavior.name[:50]}-studio",
        "student": "embedded",
        "task": {"name": "sums", "terms": [2]},
        "behaviors": [str(file.resolve())],
        "teacher": {"backend": "scripted", "phrase": phrase, **({"reason": reason} if reason else {})},
        "guidance": {"gamma": 0.25, "max_tokens": 60},
        **bonus,
        "loss": {"method": "aas"},
        "train": {
            "steps": steps,
            "questions": 12,
            "samples": 8,
            "learning_rate": 0.001,
            "decay": "linear",
            "max_prompt_tokens": 40,
            "max_completion_tokens": 64,
            "threads": 1,
            "checkpoint_every": 0,
        },
        "probe": {"questions": 100},
    }


class StudioTraining:
    """One training at a time. It runs in its own process; ``state`` returns its progress."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._run, self._shown = RunFolder(Path()), ""
        self._steps, self._name, self._stopping = 0, "", False
        self._last: dict[str, Any] = {}

    def start(self, behavior: Behavior, file: Path, phrase: str, reason: str, steps: int, folder: Path = Path("runs")) -> None:
        """
        Raises:
            BehaviorError: it cannot begin; in words for the studio.
        """
        if self.state().get("phase") == "running":
            raise BehaviorError("a training is running already; stop it first, or wait for it")
        said = sentence_report(behavior, phrase, reason)
        if not said["ok"]:
            raise BehaviorError(f"the sentence cannot teach this behavior: {said['say']}")
        name = f"{behavior.name[:50]}-studio"
        number = next(n for n in range(1, 100_000) if not any((folder / f"{name}-{n}{end}").exists() for end in ("", ".yaml")))
        shown = folder / f"{name}-{number}"
        plan = Path(f"{shown.absolute()}.yaml")  # a notebook may change its folder
        run = TrainingRun(plan, (), shown.absolute(), seed=0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with plan.open("w", encoding="utf-8") as stream:
                stream.write(
                    f"# Made by the behavior studio. Again from a terminal: thinklab train {shown}.yaml --out ANOTHER-FOLDER\n"
                )
                YAML(typ="safe", pure=True).dump(experiment(behavior, file, phrase, reason, steps), stream)
            run.config()  # says now, in words, what the process would say in its log
            process = run.start(fork=False)  # a notebook's kernel has threads, and no further use for a fork server
        except ThinklabError as error:
            raise BehaviorError(str(error)) from error
        except OSError as error:
            raise BehaviorError(f"cannot write into {folder}: {error.strerror or error}") from error
        self._child, self._run, self._steps, self._name = (
            Child("the training", process, run.log),
            RunFolder(run.folder),
            steps,
            behavior.name,
        )
        self._shown, self._stopping = str(shown), False
        atexit.register(self.close)  # it has a session of its own, and would outlive the kernel

    def state(self) -> dict[str, Any]:
        """``phase``: ``running``, ``done``, ``stopped`` or ``failed``; ``step``, ``steps``, ``behavior`` (share of the unguided
        answers at each step), ``say``, ``run`` and, when done, ``learned``, ``result`` and ``answers``. Empty before the first."""
        if self._child is not None:
            child = self._child
            over = child.code is not None  # asked first: what it wrote is then all there
            self._last = {**_state(self._run, self._steps), "run": self._shown}
            if over:
                try:
                    self._last |= _end(child, self._run, self._stopping, self._name)
                except (ThinklabError, OSError, KeyError) as error:
                    self._last |= {"phase": "failed", "say": f"the training ended, but its results cannot be read: {error}"}
                self._child = None
        return self._last

    def stop(self) -> None:
        """Let it finish the generation at work and save; then it is over."""
        if self._child is not None:
            self._stopping = True
            self._child.process.terminate()

    def close(self) -> None:
        """Stop it and wait: nothing trains on after the studio is gone."""
        if self._child is not None:
            self._stopping = True
            stop([self._child.process], PATIENCE_S)
        atexit.unregister(self.close)


def _state(run: RunFolder, steps: int) -> dict[str, Any]:
    try:
        lines = list(run.read("metrics")) if (run.path / "metrics.jsonl").exists() else []
    except ThinklabError:  # it is being written
        lines = []
    shares = [m["own/behavior"] for m in lines if m.get("own/behavior") is not None]
    written = run.config_file.exists()
    measured = written and "before" in (run.read_json("probe.json") or {})
    started = "training" if measured else "measuring the student before training" if written else "starting"
    say = "measuring the student after training" if len(lines) >= steps else started
    return {"phase": "running", "step": len(lines), "steps": steps, "behavior": shares, "say": say}


def _end(child: Child, run: RunFolder, stopped: bool, name: str) -> dict[str, Any]:
    if stopped and not run.config_file.exists():
        return {"phase": "stopped", "say": "stopped before anything was trained"}
    if stopped:
        return {
            "phase": "stopped",
            "say": f"stopped. What was trained is in {run.path}; thinklab train --resume {run.path} continues",
        }
    if child.code:
        log = child.log.read_text("utf-8", "replace").strip().splitlines()
        last = next((line for line in reversed(log) if line.strip()), "it wrote nothing")
        return {"phase": "failed", "say": f"the training failed: {last.strip()} (whole log: {child.log})"}
    probe = run.read_json("probe.json") or {}
    result = {}
    for stage in ("before", "after"):
        found = probe[stage]["T=1"]
        result[stage] = {"accuracy": found["accuracy"], "behavior": found["behaviors"][name]}
    by: dict[str, dict[str, Any]] = {}
    for line in run.read("probe_samples"):
        if line["decoding"] == "T=1" and line["stage"] in ("before", "after"):
            pair = by.setdefault(line["example_id"], {"question": line["question"]})
            pair.setdefault(line["stage"], {"text": line["text"], "shows": line["behaviors"].get(name)})
    answers = [pair for pair in by.values() if "before" in pair and "after" in pair][:ANSWERS]
    before, after = (result[stage]["behavior"] for stage in ("before", "after"))
    learned = after["low"] > before["high"]
    return {"phase": "done", "learned": learned, "say": _verdict(learned, before, after), "result": result, "answers": answers}


def _verdict(learned: bool, before: dict[str, float], after: dict[str, float]) -> str:
    if learned:
        return f"The student learned it: {before['value']:.0%} of its answers showed the behavior before, {after['value']:.0%} do now."
    return (
        f"The student has not learned it in this run: {before['value']:.0%} before, {after['value']:.0%} after. More steps may help, "
        "or words that the embedded student knows, such as I check: {gold}."
    )
