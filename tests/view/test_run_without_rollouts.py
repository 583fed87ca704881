"""A run that has only started, or trains without rollouts (SFT), has no rollouts.jsonl: the viewer and its export show none."""

import pytest
from starlette.testclient import TestClient

from tests.support.view_runs import make_run, some_rollouts
from thinklab.view.app import create_app
from thinklab.view.export import export_folder


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    make_run(folder / "one", some_rollouts())
    make_run(folder / "started", [])
    (folder / "started" / "rollouts.jsonl").unlink(missing_ok=True)
    return folder


def test_the_page_of_rollouts_is_empty(runs):
    client = TestClient(create_app(runs, "t", 9), base_url="http://127.0.0.1:9")
    client.get("/?token=t")
    answer = client.get("/api/rollouts?run=started")
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] == [] and answer.json()["total"] == 0


def test_the_export_goes_through(runs, tmp_path):
    export_folder(runs, tmp_path / "share", 4)
    assert (tmp_path / "share" / "index.html").is_file()
