"""The viewer's API: who may ask, what it answers, and what a run that is being written or is damaged does to it."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.support.view_runs import evaluation, make_run, rollout, some_rollouts, study
from thinklab.run.lock import FolderLock

starlette = pytest.importorskip("starlette", reason="needs the extra view")
from starlette.testclient import TestClient  # noqa: E402

from thinklab.view.app import create_app  # noqa: E402

HOST = "http://127.0.0.1:9"


@pytest.fixture
def root(tmp_path):
    make_run(tmp_path / "runs" / "one", some_rollouts())
    make_run(tmp_path / "runs" / "deep" / "two", some_rollouts(2), method="luffy", name="other")
    study(tmp_path / "runs" / "losses")
    evaluation(tmp_path / "runs" / "grid")
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path / "runs"


@pytest.fixture
def outside(root):
    """A browser that has not been given the token."""
    return TestClient(create_app(root, "the-token", 9), base_url=HOST)


@pytest.fixture
def client(outside):
    assert outside.get("/?token=the-token").status_code == 200
    return outside


def ok(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---- who may ask


def test_nothing_is_answered_without_the_token(outside):
    for path in ("/", "/api/runs", "/static/app.js", "/static/plotly.js", "/api/review", "/?token=wrong", "/nowhere"):
        answer = outside.get(path)
        assert answer.status_code == 403 and "a-run" not in answer.text and "token" in answer.text, path
    assert outside.post("/api/review", json={}).status_code == 403


def test_the_token_leaves_the_address_and_becomes_a_cookie_no_script_reads(outside):
    answer = outside.get("/?token=the-token&x=1", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?x=1")
    cookie = answer.headers["set-cookie"].lower()
    assert "thinklab-9=the-token" in cookie and "httponly" in cookie and "samesite=strict" in cookie
    assert outside.get("/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9", "127.0.0.1.evil.example", "192.168.0.5", ""])
def test_a_name_that_points_here_is_refused_even_with_the_token(client, host):
    for path in ("/api/runs", "/?token=the-token"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 400 and "a-run" not in answer.text
    assert client.get("/api/runs", headers={"host": "localhost:1234"}).status_code != 400  # a forwarded port is this machine


def test_only_the_page_itself_may_write(client):
    body = {"name": "ann", "batch": "x", "message": {}}
    assert client.post("/api/review", json=body).status_code == 403
    assert client.post("/api/review", json=body, headers={"origin": "http://127.0.0.1:8888"}).status_code == 403
    assert client.post("/api/review", json=body, headers={"origin": HOST}).status_code == 404  # no training waits here


def test_every_answer_carries_a_strict_policy(client):
    for path in ("/", "/api/runs", "/static/app.js", "/static/none.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert "frame-ancestors 'none'" in policy and headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    page = client.get("/").text
    assert "<style" not in page and "onclick" not in page and "http://" not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "....//secret.txt",
        "/etc/passwd",
        "one/../../secret.txt",
        "..\\secret.txt",
        "one%00",
    ],
)
def test_no_path_leads_out_of_the_folder(client, path):
    answers = [client.get(f"/static/{path}")]
    answers += [
        client.get(f"/api/{name}", params={"run": path, "id": path, "a": path, "b": path})
        for name in ("run", "figures", "rollouts", "rollout", "probe", "answers", "compare", "grid")
    ]
    for answer in answers:
        assert answer.status_code in (404, 400), (answer.url, answer.text[:80])
        assert "secret\n" not in answer.text and "root:" not in answer.text


# ---- what it answers


def test_all_runs_with_what_the_table_shows(client, root):
    runs = {r["id"]: r for r in ok(client.get("/api/runs"))["runs"]}
    assert set(runs) == {"one", "deep/two"}
    one = runs["one"]
    assert (one["status"], one["step"], one["steps"], one["method"], one["behaviors"]) == (
        "finished",
        2,
        2,
        "aas",
        ["self-check"],
    )
    assert one["accuracy"]["count"] == 3 and one["curve"] == [0.0, 0.2] and one["alarms"] == 1
    with FolderLock(root / "one"):
        assert {r["id"]: r["status"] for r in ok(client.get("/api/runs"))["runs"]}["one"] == "running"


def test_a_run_is_followed_while_it_trains(client, root):
    run = make_run(root / "live", some_rollouts(1), steps=9)
    (run.path / "probe.json").unlink()
    with FolderLock(run.path):
        time.sleep(2.1)  # runs are looked for every two seconds
        before = {r["id"]: r for r in ok(client.get("/api/runs"))["runs"]}["live"]
        page = ok(client.get("/api/rollouts", params={"run": "live"}))
        run.append("metrics", [{"step": 10, "own/accuracy": 1.0}])
        run.append("rollouts", [rollout(0, 7)])
        after = {r["id"]: r for r in ok(client.get("/api/runs"))["runs"]}["live"]
        more = ok(client.get("/api/rollouts", params={"run": "live"}))
    assert before["status"] == after["status"] == "running" and (before["step"], after["step"]) == (9, 10)
    assert before["version"] != after["version"] and more["total"] == page["total"] + 1 and more["rows"][0]["id"] == "7-0"


def test_a_torn_line_waits_for_its_end_and_a_damaged_one_is_said(client, root):
    file = root / "one" / "rollouts.jsonl"
    line = json.dumps(rollout(0, 50)) + "\n"
    total = ok(client.get("/api/rollouts", params={"run": "one"}))["total"]
    with open(file, "a") as out:
        out.write(line[:100])
        out.flush()
        page = ok(client.get("/api/rollouts", params={"run": "one"}))
        assert page["total"] == total and not page["damaged"]
        out.write(line[100:] + "{broken\n" + json.dumps(rollout(1, 50)) + "\n")
    page = ok(client.get("/api/rollouts", params={"run": "one"}))
    assert page["total"] == total + 2 and page["damaged"] == [total + 2] and page["rows"][0]["id"] == "50-1"


def test_a_run_that_went_back_to_a_checkpoint_is_read_again(client, root):
    from thinklab.run.folder import RunFolder

    before = ok(client.get("/api/rollouts", params={"run": "one", "text": "question 5"}))
    assert before["total"] == 8
    RunFolder(root / "one").rewind(3)
    page = ok(client.get("/api/rollouts", params={"run": "one"}))
    assert page["total"] == 24 and page["rows"][0]["step"] == 2 and page["version"] != before["version"]
    assert ok(client.get("/api/rollouts", params={"run": "one", "text": "question 5"}))["total"] == 0


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({}, lambda r: True),
        ({"status": "edited"}, lambda r: r["status"] == "edited"),
        ({"status": "unguided"}, lambda r: r["status"] == "unguided"),
        ({"status": "guided"}, lambda r: r["status"] != "unguided"),
        ({"status": "rejected"}, lambda r: r["status"] == "rejected"),
        ({"status": "rejected: missing-tag"}, lambda r: r["reason"] == "missing-tag"),
        ({"status": "rejected: other"}, lambda r: False),
        ({"verdict": "incorrect"}, lambda r: r["verdict"] is False),
        ({"verdict": "none"}, lambda r: r["verdict"] is None),
        ({"verdict": "agrees"}, lambda r: r["verdict"] is not None and r["verdict"] == r["right"]),
        ({"answer": "wrong"}, lambda r: r["right"] is False),
        ({"shows": "yes"}, lambda r: r["shows"] is True),
        ({"least": "1"}, lambda r: r["reward"] >= 1),
        ({"most": "0.5"}, lambda r: r["reward"] <= 0.5),
        ({"behavior": "none such"}, lambda r: False),
        ({"text": "LOOK AGAIN 3"}, lambda r: "look again 3" in r["guidance"].lower()),
        ({"text": "question 2 of 1", "answer": "right"}, lambda r: r["question"].startswith("Question 2 of 1") and r["right"]),
        ({"text": "no such words"}, lambda r: False),
    ],
)
def test_filters_are_those_of_a_plain_reading_of_the_file(client, query, fits):
    everything = ok(client.get("/api/rollouts", params={"run": "one", "count": 200}))["rows"]
    page = ok(client.get("/api/rollouts", params={"run": "one", "count": 200, **query}))
    assert len(everything) == 48 and page["complete"]
    assert [r["id"] for r in page["rows"]] == [r["id"] for r in everything if fits(r)] and page["total"] == len(page["rows"])


def test_pages_and_orders(client):
    def ids(**query):
        return [(r["id"], r["reward"]) for r in ok(client.get("/api/rollouts", params={"run": "one", **query}))["rows"]]

    whole = ids(count=200)
    assert ids(first=10, count=5) == whole[10:15] and ids(count=200, sort="oldest") == whole[::-1]
    assert [r for _, r in ids(count=200, sort="reward")] == sorted(r for _, r in whole)
    assert [r for _, r in ids(count=200, sort="-reward")] == sorted((r for _, r in whole), reverse=True)
    assert ids(first=1000) == []


def test_one_rollout_beside_its_group_with_its_tokens(client):
    found = ok(client.get("/api/rollout", params={"run": "one", "id": "0-0"}))
    assert [r["id"] for r in found["group"]] == ["0-0", "0-1", "0-2", "0-3"] and "student_ids" not in found["rollout"]
    assert [t["text"] for t in found["tokens"]] == ["1", "+", " I", " check", "<eos>"]
    assert found["tokens"][2]["classes"] == "teacher masked neg" and found["tokens"][3]["style"]["--w"] == "0.90"
    assert ok(client.get("/api/rollout", params={"run": "one", "id": "1-5"}))["tokens"] is None
    assert client.get("/api/rollout", params={"run": "one", "id": "99-0"}).status_code == 404


def test_curves_probe_answers_and_two_runs(client):
    titles = [f["layout"]["title"]["text"] for f in ok(client.get("/api/figures", params={"run": "one"}))]
    assert titles[:2] == ["Probe: accuracy", "Probe: shows self-check"] and len(titles) == len(set(titles)) > 6
    probe = ok(client.get("/api/probe", params={"run": "one"}))
    assert [(r["stage"], r["decoding"]) for r in probe["rows"]] == [
        (s, d) for s in ("before", "after") for d in ("T=1", "greedy")
    ]
    assert probe["rows"][0]["rates"]["shows self-check"]["count"] == 0
    answers = ok(client.get("/api/answers", params={"run": "one", "text": "ANSWER 7", "count": 5}))
    assert answers["total"] == 1 and answers["rows"][0]["answers"]["after training"][0]["correct"] is True
    both = ok(client.get("/api/answers", params={"run": ["one", "deep/two"]}))
    assert both["columns"] == ["before training", "one", "deep/two"]
    compared = ok(client.get("/api/compare", params={"a": "one", "b": "deep/two"}))
    assert ["loss.method", "aas", "luffy"] in compared["config"]
    names = {t.get("name") for f in ok(client.get("/api/figures", params={"run": ["one", "deep/two"]})) for t in f["data"]}
    assert {"one", "deep/two"} <= names


def test_studies_and_grids(client):
    assert {g["id"]: g["kind"] for g in ok(client.get("/api/grids"))} == {"losses": "study", "grid": "evaluation"}
    (table,) = ok(client.get("/api/grid", params={"id": "losses"}))["tables"]
    aas = table["rows"][1]
    cell = aas["cells"][table["columns"].index("accuracy T=1")]
    assert (
        aas["name"] == "aas"
        and cell["value"] == pytest.approx(0.99)
        and (cell["low"], cell["high"]) == (0.98, 1.0)
        and len(cell["each"]) == 2
    )
    tables = ok(client.get("/api/grid", params={"id": "grid"}))["tables"]
    assert [t["title"] for t in tables] == ["Accuracy", "Tokens per answer", "Shows self-check"]
    assert tables[0]["rows"][1]["cells"][1] is None and tables[0]["rows"][0]["cells"][0]["low"] == pytest.approx(0.3)


def test_a_damaged_run_is_a_line_that_says_so(client, root):
    (root / "broken").mkdir()
    (root / "broken" / "config.yaml").write_text("config: [")
    make_run(root / "half", some_rollouts(1)).path.joinpath("probe.json").write_text("{")
    time.sleep(2.1)
    runs = {r["id"]: r for r in ok(client.get("/api/runs"))["runs"]}
    assert runs["broken"]["status"] == runs["half"]["status"] == "damaged" and "config.yaml:1" in runs["broken"]["error"]
    assert "probe.json" in runs["half"]["error"] and runs["one"]["status"] == "finished"


def test_a_value_that_means_nothing_is_said(client):
    for query, said in (
        ({"run": "one", "sort": "size"}, "sort must be"),
        ({"run": "one", "first": "x"}, "whole number"),
        ({}, "missing"),
        ({"run": "one", "least": "much"}, "must be a number"),
    ):
        answer = client.get("/api/rollouts", params=query)
        assert answer.status_code == 400 and said in answer.json()["error"]
    assert "did you mean 'one'" in client.get("/api/run", params={"run": "onee"}).json()["error"]


def test_a_figure_that_is_not_finite_is_null(client, root):
    file = root / "one" / "metrics.jsonl"
    file.write_text('{"step": 1, "own/accuracy": 0.5, "neutral_kl": NaN}\n')
    os.utime(file)
    one = {r["id"]: r for r in ok(client.get("/api/runs"))["runs"]}["one"]
    assert one["kl"] is None


def test_looking_writes_nothing(client, root):
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    for path in ("runs", "run?run=one", "figures?run=one", "rollouts?run=one", "probe?run=one", "answers?run=one", "grids"):
        ok(client.get(f"/api/{path}"))
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()} == before
