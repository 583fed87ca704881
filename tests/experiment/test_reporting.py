"""``train.report_to``: what reaches TensorBoard and Trackio is read back from their own files; nothing goes over a network."""

import os
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.support.run_cases import CONFIG
from thinklab.config.load import load_config
from thinklab.errors import ConfigError
from thinklab.experiment import reporting
from thinklab.experiment.train import run_experiment
from thinklab.run.folder import RunFolder

SETTINGS = ["train.steps=2", "train.checkpoint_every=0", "probe.every=1", "guards.action=warn"]
NAMES = (
    "guided_fraction",
    "guidance/mean_tokens",
    "own/behavior",
    "teacher/probability",
    "reward",
    "probe/accuracy",
    "probe/self-check",
)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """One run that reports to both; the folder of the run and that of Trackio's files."""
    folder = tmp_path_factory.mktemp("reported")
    (folder / "c.yaml").write_text(CONFIG)
    settings = [*SETTINGS, "train.report_to=[tensorboard, trackio]"]
    environment = {**os.environ, "TRACKIO_DIR": str(folder / "trackio"), "HF_HUB_OFFLINE": "1"}  # Trackio reads it when imported
    command = [sys.executable, "-m", "thinklab", "train", "c.yaml", "--out", "run", *settings]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return folder


def test_tensorboard_has_every_figure_of_the_metrics_and_the_guided_rollouts(reported):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(reported / "run" / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    run = RunFolder(reported / "run")
    lines = list(run.read("metrics"))
    for name in NAMES:
        assert f"train/{name}" in tags["scalars"], name
    for line in lines:  # guards included: every number of the records, under its name, at its step
        for name, value in line.items():
            if isinstance(value, int | float) and name not in ("step", "seconds", "epoch"):
                sent = {event.step: event.value for event in events.Scalars(f"train/{name}")}
                assert sent[line["step"]] == pytest.approx(float(value), rel=1e-6, abs=1e-7), name
    guided = [r for r in run.read("rollouts") if r["teacher_ids"]]
    texts = [t.tensor_proto.string_val[0].decode() for t in events.Tensors(f"{reporting.TABLE}/text_summary")]
    table = "\n".join(texts)
    assert len(texts) == 2 and " | ".join(reporting.COLUMNS) in table
    assert guided and all(r["guidance"]["text"].replace("\n", "<br>") in table for r in guided)


def test_trackio_has_them_in_its_own_database(reported):
    pytest.importorskip("trackio")

    def stored() -> str:
        text = ""
        for database in (reported / "trackio").glob("*.db"):
            with sqlite3.connect(database) as connection:
                tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
                text += "".join(str(row) for table in tables for row in connection.execute(f"select * from {table}"))
        return text

    wanted = [*(f"train/{name}" for name in NAMES), reporting.TABLE]
    deadline = time.monotonic() + 60  # Trackio writes from a thread of its own
    while not all(name in stored() for name in wanted) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [name for name in wanted if name not in stored()]


def test_it_is_off_unless_asked_for(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG)
    assert reporting.arguments(load_config(tmp_path / "c.yaml"))["report_to"] == "none"


def test_a_service_that_is_not_installed_is_said_before_anything_is_made(tmp_path, monkeypatch):
    (tmp_path / "c.yaml").write_text(CONFIG)
    monkeypatch.setattr(reporting, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="report_to names wandb, which is not installed: pip install wandb"):
        run_experiment(load_config(tmp_path / "c.yaml", ["train.report_to=[wandb]"]), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()
    with pytest.raises(ConfigError, match="did you mean 'wandb'"):
        load_config(tmp_path / "c.yaml", ["train.report_to=[wandbb]"])
