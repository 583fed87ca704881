"""Run folders: lines are whole or absent, a torn end is mended, rewinding loses nothing."""

from __future__ import annotations

import errno
import json

import pytest

from thinklab.errors import RunError
from thinklab.run import folder as run_module
from thinklab.run.folder import COMPLETE, RunFolder
from thinklab.types import Batch, Example, Guidance, Rollout, Usage, rollout_from_json, to_json


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", {"name": "x"}, {"self-check": "abc"})


def rollout(key="0-0"):
    return Rollout(
        id=key,
        group=0,
        example=Example("e1", "1 + 1?", "2", {"operands": [1, 1]}),
        prompt_ids=(1, 2),
        student_ids=(3, 4),
        finished=True,
        text="2 <script>",
        student_text="2",
        teacher_ids=(7, 4),
        rewards={"correct": 1.0},
        advantage=-0.5,
        guidance=Guidance(key, "self-check", "abc", "edited", text="a", edited="b", verdict=False, usage=Usage(3, 4)),
    )


def test_config_yaml_holds_hashes_and_versions(run):
    resolved = run.resolved()
    assert resolved["config"] == {"name": "x"} and resolved["behaviors"] == {"self-check": "abc"}
    assert {"torch", "trl", "transformers", "python"} <= set(resolved["versions"])


def test_rollouts_come_back_as_the_same_records(run):
    run.add_batch(Batch(4, 9, (rollout("4-0"), rollout("4-1"))))
    lines = list(run.read("rollouts"))
    assert [line["step"] for line in lines] == [9, 9]
    assert [rollout_from_json(line) for line in lines] == [rollout("4-0"), rollout("4-1")]
    assert json.dumps(to_json(rollout()))


def test_a_second_run_never_overwrites_the_first(run):
    with pytest.raises(RunError, match="--resume"):
        RunFolder.create(run.path, {}, {})


def test_a_folder_without_a_run_is_said_to_be_none(tmp_path):
    with pytest.raises(RunError, match=r"no config\.yaml"):
        RunFolder.open(tmp_path)


def test_a_torn_last_line_is_dropped_at_the_next_start(run):
    run.append("metrics", [{"step": 1}, {"step": 2}])
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 3, "lo')
    assert [line["step"] for line in run.read("metrics")] == [1, 2]  # a reader never sees half a line
    RunFolder.open(run.path).append("metrics", [{"step": 3}])
    assert [line["step"] for line in run.read("metrics")] == [1, 2, 3]


class FullDisk:
    """A file that takes ``room`` more bytes and then reports a full disk, as the system does."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self.file.write(data[: self.room])
        self.room -= taken
        return taken

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def test_a_full_disk_is_one_clear_error_and_leaves_no_half_line(run, monkeypatch):
    run.append("metrics", [{"step": 1}])
    real_open = open
    monkeypatch.setattr(run_module, "open", lambda *a, **k: FullDisk(real_open(*a, **k), 10), raising=False)
    with pytest.raises(RunError, match=r"No space left on device.*--resume"):
        run.append("metrics", [{"step": 2, "text": "long enough to be cut"}])
    monkeypatch.undo()
    assert (run.path / "metrics.jsonl").read_text() == '{"step": 1}\n'


def test_rewinding_moves_what_came_later(run):
    run.append("metrics", [{"step": s} for s in (1, 2, 3, 4)])
    run.append("rollouts", [{"step": s} for s in (0, 1, 2, 3)])
    run.append("probes", [{"step": s} for s in (0, 2, 4)])
    run.rewind(2)
    assert [[line["step"] for line in run.read(n)] for n in ("metrics", "rollouts", "probes")] == [[1, 2], [0, 1], [0, 2]]
    assert sorted((line["from"], line["step"]) for line in run.read("superseded")) == [
        ("metrics", 3),
        ("metrics", 4),
        ("probes", 4),
        ("rollouts", 2),
        ("rollouts", 3),
    ]


def test_a_checkpoint_counts_once_it_is_complete(run):
    for step, complete in ((20, True), (100, True), (120, False)):
        folder = run.checkpoints / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if complete:
            (folder / COMPLETE).write_text("{}")
    assert run.last_checkpoint() == (run.checkpoints / "checkpoint-100", 100)
