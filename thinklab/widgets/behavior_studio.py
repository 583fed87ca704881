"""``BehaviorStudio``: the widget that edits a behavior file: messages of the page, report while typing, saving.

    BehaviorStudio("self-check")             # a shipped one: saving writes ./self-check.yaml, a file of your own
    BehaviorStudio("mine/thanks.yaml")       # created from the commented template if missing

Lint by line, the conversation that the teacher would get, the detector on answers of your own and of a run, and the file's own
tests: what ``thinklab behaviors lint``, ``preview`` and ``test`` say. A button trains what was saved (``studio_train.py``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import traitlets

from thinklab.behavior import lint
from thinklab.behavior import loader as files
from thinklab.behavior.add_test import with_test
from thinklab.behavior.behavior import Behavior
from thinklab.behavior.preview import preview
from thinklab.behavior.scaffold import new_text
from thinklab.config.shipped import locate
from thinklab.config.shipped import shipped as shipped_behaviors
from thinklab.errors import BehaviorError
from thinklab.review.item import utf16_spans
from thinklab.widgets.base import View
from thinklab.widgets.html import css, html, module
from thinklab.widgets.studio_run import StudioRun, runs_below
from thinklab.widgets.studio_train import STEPS, StudioTraining, sentence_report, suggestion

QUESTION = "Tom has 12 figs and finds 7 more. How many are there now?"
ANSWER = "12+7=18. So \\boxed{18}."
MAX_SAMPLES = 12


class BehaviorStudio(View):
    """Traits: ``text`` (the file), ``file`` (where it is saved), ``samples``, ``question``, ``answer``, ``report``, ``phrase`` and ``reason``
    (the sentences with which it trains), ``training`` (how that stands), ``runs`` (folders that are near).

    Args:
        name_or_path: a shipped behavior, or an existing or new file.
        samples: answers to try the detector on; the first texts of the file's own tests by default.
        question: of the example in the rendered prompt.
        answer: the student's attempt in that example.
        save_as: where to save; default the file itself, or ``./NAME.yaml`` for a shipped behavior.

    Raises:
        BehaviorError: there is no such behavior, or the file cannot be read.
    """

    _esm = module("behavior_studio.js")
    _css = css("behavior_studio.css")
    text = traitlets.Unicode().tag(sync=True)
    file = traitlets.Unicode().tag(sync=True)
    samples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    question = traitlets.Unicode().tag(sync=True)
    answer = traitlets.Unicode().tag(sync=True)
    report = traitlets.Dict().tag(sync=True)
    phrase = traitlets.Unicode().tag(sync=True)
    reason = traitlets.Unicode().tag(sync=True)
    training = traitlets.Dict().tag(sync=True)
    runs = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self,
        name_or_path: str | Path,
        samples: Sequence[str] | None = None,
        question: str = QUESTION,
        answer: str = ANSWER,
        save_as: str | Path | None = None,
    ):
        self._run, self._more, self._trained = StudioRun(), 1, StudioTraining()  # first: ``close`` comes also where this fails
        path = locate(name_or_path)
        shipped = path in shipped_behaviors().values()
        self.path = Path(save_as) if save_as else Path(path.name) if shipped else path
        self.source = path
        """The folder in which ``extends`` and ``same_as`` look for other files before the first save."""
        text = _read(path)
        if text is None:
            if shipped or not path.parent.is_dir():
                raise BehaviorError(f"{path}: there is no such folder")
            text = new_text(path.stem, path.parent)
        if samples is None:
            samples = _own_texts(text, path) or [ANSWER]
        self._on_disk = _read(self.path)
        super().__init__(text=text, file=str(self.path), samples=list(samples), question=question, answer=answer)
        self.runs = runs_below(Path.cwd())
        self.report = studio_report(self.source, text, self.samples, question, answer)
        if "tests" in self.report:
            self.phrase, self.reason = suggestion(self.behavior)
        self.on_msg(lambda _, message, buffers: self.handle(message))

    @property
    def behavior(self) -> Behavior:
        """The current text as a behavior; raises BehaviorError with file, line, and column while it is invalid."""
        return Behavior(files.read_text(self.text, str(self.source)), self.path)

    def handle(self, message: Mapping[str, Any]) -> None:
        """``{"kind", "n", "text", "samples", "question", "answer"}``; always replies with the report.

        Kinds: ``check``, ``save``, ``add_test`` (``sample``, ``shows``), ``run`` (``folder``, ``more``), ``sentence`` (``phrase``,
        ``reason``), ``train`` (the same and ``steps``; saves first) and ``stop``. ``{"kind": "progress"}`` asks how the training stands.
        """
        if message["kind"] == "progress":
            self.send({"kind": "progress", "training": self._standing()})
            return
        self.text, self.samples = message["text"], message["samples"][:MAX_SAMPLES]
        self.question, self.answer = message["question"], message["answer"]
        answer: dict[str, Any] = {"kind": message["kind"], "n": message["n"]}
        try:
            answer |= self._do(message)
        except BehaviorError as error:
            answer["error"] = str(error)
        try:
            self.report = self._report()
        except Exception as error:  # a custom detector may raise anything; the studio must keep running
            answer["error"] = f"{type(error).__name__}: {error}"
        self.send({**answer, "report": self.report})

    def _do(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """What a message asks for; the part of the answer that is its own."""
        kind = message["kind"]
        if kind == "save":
            return {"said": self.save(), "saved": True}
        if kind == "add_test":
            self.text = with_test(self.text, message["sample"], message["shows"], self.source)
            return {"said": f"Added to tests.{'shows' if message['shows'] else 'lacks'}; not saved yet", "text": self.text}
        if kind == "run":
            self._more = message["more"]
            if message["folder"] != self._run.folder or self._more == 1:
                self._run.choose(message["folder"])
        if kind == "sentence":
            self.phrase, self.reason = message["phrase"], message["reason"]
            return {"sentence": sentence_report(self.behavior, self.phrase, self.reason)}
        if kind == "train":
            self.train(message["phrase"], message["steps"], message["reason"])
            return {"said": f"Saved {self.path}; training", "saved": True, "training": self._standing()}
        if kind == "stop":
            self._trained.stop()
            return {"training": self._standing()}
        return {}

    def _report(self) -> dict[str, Any]:
        made = studio_report(self.source, self.text, self.samples, self.question, self.answer)
        return {**made, "run": self._run.report(self.behavior, self._more)} if "tests" in made else made

    def _standing(self) -> dict[str, Any]:
        self.training = self._trained.state()
        return self.training

    def train(self, phrase: str, steps: int = STEPS, reason: str = "") -> None:
        """What the button does: save the file, then train the embedded student with a teacher that adds ``phrase``.

        Args:
            reason: what stands before it, for a behavior that splices the reason as well.

        Raises:
            BehaviorError: the file has errors, the sentence cannot teach it, or a training is running.
        """
        self.phrase, self.reason = phrase, reason
        behavior = self.behavior  # where it has errors, they are said before anything is written
        if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= 2000:
            raise BehaviorError(f"steps is a whole number from 1 to 2000, not {steps!r}")
        self.save()
        self._trained.start(behavior, self.path, phrase, reason, steps)

    @property
    def busy(self) -> bool:
        """It trains; closing it would stop that."""
        return self._trained.state().get("phase") == "running"

    def close(self) -> None:
        """Stop a training that runs, and the widget."""
        self._trained.close()
        super().close()

    def save(self) -> str:
        """Write the file atomically; returns a message.

        Raises:
            BehaviorError: it cannot be written, or it has changed since it was read; saving again overwrites it.
        """
        found = _read(self.path)
        if found != self._on_disk:
            self._on_disk = found
            raise BehaviorError(f"{self.path} was changed by another program since it was read; save again to overwrite that")
        part = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(self.text, "utf-8")
            os.replace(part, self.path)
        except OSError as error:
            raise BehaviorError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._on_disk, self.source = self.text, self.path
        errors = sum(f.level == "error" for f in lint.lint(self.path))
        return f"Saved {self.path}" + (f", with {errors} error{'s' * (errors > 1)} in it" if errors else "")

    def to_html(self) -> str:
        """The current text, findings, prompt, and detections."""
        return html(studio_html(self.text, self.report, self.samples, self.file), "behavior_studio.css")


def studio_report(path: Path, text: str, samples: Sequence[str], question: str, answer: str) -> dict[str, Any]:
    """The report about a behavior file with the content ``text``.

    Returns:
        ``findings`` (level, line, column, message; line 0 for another file), and, if it loads, ``messages`` (role, content),
        ``tokens`` (in, out), ``hash``, ``samples`` (found, why, spans in UTF-16 units) and ``tests`` (passed, failed, not_run).
    """
    findings = []
    for f in lint.lint(path, text):
        here = f.file == str(path)
        findings.append(
            {
                "level": f.level,
                "line": f.line if here else 0,
                "column": f.column,
                "message": f.message if here else f"{f.file}:{f.line}: {f.message}",
            }
        )
    report: dict[str, Any] = {"findings": findings}
    try:
        behavior = Behavior(files.read_text(text, str(path)), path)
    except BehaviorError:
        return report
    made = preview(behavior, question, answer)
    results = lint.run_tests(behavior)
    detected = []
    for sample in samples:
        try:
            found = behavior.detect(sample)
            detected.append({"found": found.found, "why": found.why, "spans": utf16_spans(sample, found.spans)})
        except BehaviorError as error:
            detected.append({"found": None, "why": str(error), "spans": []})
    tests = {
        "passed": sum(r.passed is True for r in results),
        "not_run": sum(r.passed is None for r in results),
        "failed": [f"{r.what}: {r.why}" for r in results if r.passed is False],
    }
    return {
        **report,
        "messages": [dict(m) for m in made.messages],
        "tokens": [made.input_tokens, made.output_tokens],
        "hash": behavior.hash,
        "samples": detected,
        "tests": tests,
    }


def studio_html(text: str, report: Mapping[str, Any], samples: Sequence[str], file: str) -> str:
    """The same as HTML without a script."""
    rows = (
        "".join(
            f"<p class='{'tl-bad' if f['level'] == 'error' else 'tl-warn'}'>line {f['line']}: {escape(f['message'])}</p>"
            for f in report["findings"]
        )
        or "<p class=tl-good>✓ no problems</p>"
    )
    detected = "".join(
        f"<p class=tl-text>{escape(sample)}<br><span class='{'tl-good' if d['found'] else 'tl-bad'}'>"
        f"{'✓ shown' if d['found'] else '✗ not shown'}</span> <span class=tl-soft>{escape(d['why'])}</span></p>"
        for sample, d in zip(samples, report.get("samples", []), strict=False)
    )
    prompt = "".join(
        f"<p class=tl-label>{escape(m['role'])}</p><p class='tl-text tl-message'>{escape(m['content'])}</p>"
        for m in report.get("messages", [])
    )
    return (
        f"<div class='tl tl-studio'><h3>{escape(file)}</h3>{rows}<details><summary>The file</summary>"
        f"<pre>{escape(text)}</pre></details><details><summary>Prompt for the teacher</summary>{prompt}</details>"
        f"<h4>Detector</h4>{detected}</div>"
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BehaviorError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _own_texts(text: str, path: Path) -> list[str]:
    """Two texts of the file's tests that show the behavior, and two that do not."""
    try:
        tests = files.read_text(text, str(path)).tests.texts
    except BehaviorError:
        return []
    return [t.text for shows in (True, False) for t in [t for t in tests if t.shows is shows][:2]]
