"""``Guards``: the callback that measures KL and entropy, records alarms, and warns, lowers the rate, or stops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from thinklab.config.experiment import Experiment
from thinklab.experiment.guards import WINDOW, Alarm, Watch
from thinklab.probing.retention import Retention
from thinklab.run.folder import RunFolder
from thinklab.students.base import Student
from thinklab.tasks.base import Task
from thinklab.types import Example

SAMPLED_TENSORS = 8


@dataclass
class Guards:
    """One per run. ``measure`` before a metrics line is written, ``see`` after it, ``act`` on what ``see`` returned.

    Args:
        say: gets every alarm as one line of text.
    """

    config: Experiment
    student: Student
    run: RunFolder
    say: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        self.forget()
        # Kept now, before a checkpoint is loaded: without an adapter, the current weights are the base.
        self.retention = Retention.of(self.student) if self.config.guards.kl_every else None
        self.save_wanted = False
        """A first sign of collapse was seen: save the state early."""
        self._saved = False
        self._lowered = -WINDOW
        """Step at which the learning rate was lowered last."""
        self._print = 0.0

    def forget(self) -> None:
        """Initial state; ``remember`` restores that of a resumed run."""
        train = self.config.train
        self.watch = Watch(self.config.guards, self.config.loss.method, train.learning_rate, train.questions)
        self.stopped = ""
        """Why the run should end."""

    def remember(self, lines: Iterable[Mapping[str, Any]], probes: Iterable[Mapping[str, Any]] = ()) -> None:
        """Read the history of a resumed run; its earlier alarms are not raised again."""
        for line in sorted([*lines, *probes], key=lambda x: x["step"]):
            alarms = (self.watch.see_probe if "decoding" in line else self.watch.see)(line)
            self._saved |= any(a.kind == "collapse" for a in alarms)

    def check_start(self, task: Task, example: Example) -> None:
        """Problems that are visible before the first step: a chat template without effect, and no trainable weights."""
        messages = task.prompt(example)
        plain = self.student.tokenizer(messages[-1]["content"], add_special_tokens=False)["input_ids"]
        if list(self.student.encode(messages)) == list(plain):
            self._raise(
                [
                    Alarm(
                        0,
                        "silent",
                        "chat-template",
                        "the chat template leaves the question unchanged",
                        "the tokenizer's chat template is empty or does not use the messages",
                        "load an instruct model, or put its chat_template.jinja next to tokenizer.json",
                    )
                ]
            )
        if not any(p.requires_grad for p in self.student.model.parameters()):
            self._raise(
                [
                    Alarm(
                        0,
                        "silent",
                        "frozen",
                        "no weight of the student is trainable",
                        "an adapter that was loaded for inference",
                        "load it with is_trainable=True",
                    )
                ]
            )

    def begin(self) -> None:
        """The weights at the start of training: initial ones, or those of a checkpoint."""
        self._print = fingerprint(self.student.model)

    def measure(self, step: int) -> dict[str, Any]:
        """``neutral_kl`` (when due) and ``weights_changed`` for the metrics line of this step."""
        found: dict[str, Any] = {}
        every = self.config.guards.kl_every
        if self.retention is not None and every and step % every == 0:
            found["neutral_kl"] = round(self.retention.kl(), 6)
        now = fingerprint(self.student.model)
        found["weights_changed"] = now != self._print
        self._print = now
        return found

    def see(self, line: Mapping[str, Any]) -> list[Alarm]:
        return self._raise(self.watch.see(line))

    def see_probe(self, line: Mapping[str, Any]) -> list[Alarm]:
        return self._raise(self.watch.see_probe(line))

    def act(self, alarms: Iterable[Alarm], optimizer: Any = None, scheduler: Any = None) -> None:
        """At the first collapse: ask for a checkpoint. ``stop``: set ``stopped``. ``lower``: multiply the learning rate, for
        the rest of its schedule, once for all signs within ``WINDOW`` steps."""
        collapse = [a for a in alarms if a.kind == "collapse"]
        if collapse and not self._saved:
            self._saved = self.save_wanted = True
        action = self.config.guards.action
        if not collapse or action not in ("stop", "lower"):
            return
        if action == "stop":
            self.stopped = f"guard: {collapse[0]}"
            return
        if collapse[0].step - self._lowered < WINDOW:
            return
        self._lowered, factor = collapse[0].step, self.config.guards.lower_to
        for group in getattr(optimizer, "param_groups", ()):
            group["lr"] *= factor
        scheduler = getattr(scheduler, "scheduler", scheduler)  # accelerate wraps it
        if hasattr(scheduler, "base_lrs"):  # saved with the checkpoint, so a resumed run keeps it
            scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
        self.say(f"guard: the learning rate was multiplied by {factor:g}")

    def _raise(self, alarms: list[Alarm]) -> list[Alarm]:
        if alarms:
            self.run.append("alarms", map(asdict, alarms))
        for alarm in alarms:
            self.say(f"guard: {alarm}")
        return alarms


@torch.no_grad()
def fingerprint(model: torch.nn.Module) -> float:
    """A checksum of a few trained tensors: those in the middle of the
    model."""
    trained = [p for p in model.parameters() if p.requires_grad]
    step = max(1, len(trained) // SAMPLED_TENSORS)
    chosen = [*trained[::step], *trained[1::step]]
    return sum(float(p.detach().cpu().double().pow(2).sum()) for p in chosen)
