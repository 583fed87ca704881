"""``thinklab train --review``: a training that waits, several people, a deadline, a default, and a process that is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from dataclasses import replace
from http.cookiejar import CookieJar

import pytest

from tests.review.test_review import GOOD, make, proposal, run  # noqa: F401
from tests.support.run_cases import CONFIG, in_this_process, wait_until
from tests.support.warm_start import start
from thinklab.errors import ReviewError
from thinklab.run.folder import RunFolder

pytest.importorskip("starlette", reason="needs the extra view")

from thinklab.view.batch import Desk, OpenBatch


class Person:
    """Somebody's browser without a window: the token, its cookie, and the API."""

    def __init__(self, url: str, name: str):
        self.base, self.name = url.split("/?")[0], name
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self.opener.open(url).read()
        self.n = 0

    def state(self, since: int = 0, batch: str = "") -> dict:
        from urllib.parse import quote

        return json.load(self.opener.open(f"{self.base}/api/review?name={quote(self.name)}&since={since}&batch={batch}"))

    def send(self, **body) -> dict:
        data = json.dumps({"name": self.name, "batch": self.state()["batch"], **body}).encode()
        return json.load(
            self.opener.open(
                urllib.request.Request(f"{self.base}/api/review", data, {"Origin": self.base, "Content-Type": "application/json"})
            )
        )

    def decide(self, kind: str, **more) -> dict:
        self.n += 1
        return self.send(message={"kind": kind, "n": self.n, **more})["answers"][0]


class Training:
    """``thinklab train ... --review`` in a process of its own."""

    def __init__(self, folder, *more, resume: bool = False, review: bool = True):
        self.run, self.log = RunFolder(folder / "run"), folder / "log.txt"
        config = folder / "c.yaml"
        config.write_text(CONFIG)
        args = ["train", "--resume", self.run.path] if resume else ["train", config, "--out", self.run.path]
        self.process = start(*args, *(["--review", "review.grace_s=0.2"] if review else []), *more)
        self.text = ""

    def url(self) -> str:
        while "pieces of guidance are waiting" not in self.text:
            line = self.process.stderr.readline()
            assert line or self.process.poll() is None, self.text
            self.text += line
        return re.findall(r"http://\S+", self.text)[-1]

    def waits_at(self, person: Person, step: int) -> dict:
        found: dict = {}

        def there() -> bool:
            found.update(person.state())
            return bool(found["open"]) and found["step"] == step

        wait_until(there, self.process)
        return found

    def end(self) -> str:
        out, err = self.process.communicate(timeout=180)
        return self.text + err + out


@pytest.fixture
def training(tmp_path):
    started = []

    def begin(*more, **how):
        started.append(Training(tmp_path, *more, **how))
        return started[-1]

    yield begin
    for t in started:
        if t.process.poll() is None:
            t.process.kill()
            t.process.communicate()


def reviews(folder: RunFolder) -> list[dict]:
    return list(folder.read("reviews"))


@pytest.mark.slow
def test_two_people_decide_under_their_names_and_the_weights_get_what_they_said(training):
    t = training()
    ann = Person(t.url(), "ann")
    bob = Person(t.url(), "Bob Ü.")
    state = ann.state()
    assert (state["step"], len(state["items"]), state["undecided"], state["left_s"]) == (0, 4, 4, None)
    first, second, third, fourth = [i["id"] for i in state["items"]]
    text = next(i["text"] for i in state["items"] if i["id"] == second)
    ann.decide("accept", id=first)
    bob.decide("edit", id=second, text=f"Let me look. {text}")
    ann.decide("reject", id=third)
    seen = ann.state(since=1, batch=state["batch"])
    assert {i["id"]: i["who"] for i in seen["items"]} == {second: "Bob Ü.", third: "ann"}
    assert {p["name"]: p["decided"] for p in seen["people"]} == {"ann": 2, "Bob Ü.": 1}
    bob.decide("undo", ids=[])  # his own decision, not ann's later one
    assert [(i["id"], i["state"]) for i in bob.state()["items"][:3]] == [
        (first, "accepted"),
        (second, "open"),
        (third, "rejected"),
    ]
    bob.decide("edit", id=second, text=f"Let me look. {text}")
    bob.decide("accept", id=fourth)  # the last one: goes on by itself
    assert t.waits_at(ann, 1)["undecided"] == 4
    spliced = {r["id"]: r for r in t.run.read("rollouts")}
    assert spliced[second]["guidance"]["edited"] == f"Let me look. {text}" and spliced[second]["teacher_ids"]
    assert spliced[third]["guidance"]["status"] == "rejected" and not spliced[third]["teacher_ids"]
    by = [(r["who"], r["action"], r["rollout"]) for r in reviews(t.run)]
    assert by == [
        ("ann", "accept", first),
        ("Bob Ü.", "edit", second),
        ("ann", "reject", third),
        ("Bob Ü.", "undo", second),
        ("Bob Ü.", "edit", second),
        ("Bob Ü.", "accept", fourth),
    ]
    assert all(r["when"].endswith("+00:00") for r in reviews(t.run))
    for step in (1, 2, 3):
        t.waits_at(bob, step)
        bob.send(done=True)  # what is undecided goes by the default
    said = t.end()
    assert t.process.returncode == 0 and "step 3" in said
    batches = list(t.run.read("review_batches"))
    assert [(b["step"], b["why"], b["who"]) for b in batches] == [
        (0, "everything was decided", ""),
        *((s, "ended by a reviewer", "Bob Ü.") for s in (1, 2, 3)),
    ]
    assert {r["who"] for r in reviews(t.run)} == {"ann", "Bob Ü.", "auto: accept_if_detected"}
    assert not (t.run.path / "review.json").exists()


@pytest.mark.slow
def test_a_deadline_and_its_default_train_without_anybody(training):
    t = training("--review-deadline", "0.5", "--review-default", "reject")
    said = t.end()
    assert t.process.returncode == 0, said
    assert {(r["who"], r["state"]) for r in reviews(t.run)} == {("auto: reject", "rejected")}
    assert not any(r["teacher_ids"] for r in t.run.read("rollouts"))
    assert {b["why"] for b in t.run.read("review_batches")} == {"the deadline of 0.5 s has passed"}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_ends_while_it_waits_shows_the_same_batch_again(training, how):
    t = training()
    ann = Person(t.url(), "ann")
    assert oct(os.stat(t.run.path / "review.json").st_mode)[-3:] == "600"
    ann.send(done=True)
    before = t.waits_at(ann, 1)["items"]
    ann.decide("edit", id=before[0]["id"], text="I check again: " + before[0]["text"])
    t.process.send_signal(how)
    said = t.end()
    if how == signal.SIGINT:
        assert t.process.returncode == 130 and "Continue with: thinklab train --resume" in said and "step 1 of 4" in said
    again = training(resume=True)
    ann = Person(again.url(), "ann")
    after = ann.state()
    assert after["step"] == 1 and [(i["id"], i["student"], i["said"]) for i in after["items"]] == [
        (i["id"], i["student"], i["said"]) for i in before
    ]
    assert after["items"][0]["state"] == "edited" and after["items"][0]["who"] == "ann"
    for step in (1, 2, 3):
        again.waits_at(ann, step)
        ann.send(done=True)
    assert again.end() is not None and again.process.returncode == 0
    ids = [r["id"] for r in again.run.read("rollouts")]
    assert len(ids) == len(set(ids)) == 32
    used = {r["id"]: r for r in again.run.read("rollouts")}[before[0]["id"]]
    assert used["guidance"]["edited"] == "I check again: " + before[0]["text"]


@pytest.mark.slow
def test_a_run_that_waited_goes_on_without_people_when_told_so(training):
    t = training()
    ann = Person(t.url(), "ann")
    ann.send(done=True)
    t.waits_at(ann, 1)
    t.process.kill()
    t.end()
    alone = training("review.pause=false", resume=True, review=False)
    assert "run folder" in alone.end() and alone.process.returncode == 0
    rollouts = [r["id"] for r in alone.run.read("rollouts")]
    assert len(rollouts) == len(set(rollouts)) == 32 and {r["step"] for r in alone.run.read("rollouts")} == {0, 1, 2, 3}


def test_a_run_without_a_teacher_has_nothing_to_review(tmp_path, monkeypatch, capfd):
    (tmp_path / "c.yaml").write_text(CONFIG)
    done = in_this_process(
        monkeypatch, capfd, "train", tmp_path / "c.yaml", "--out", tmp_path / "run", "--review", "loss.method=grpo"
    )
    assert done.returncode == 2 and "nothing to review" in done.errors[0] and not (tmp_path / "run").exists()
    done = in_this_process(
        monkeypatch, capfd, "train", tmp_path / "c.yaml", "--out", tmp_path / "run", "--review-default", "maybe"
    )
    assert done.returncode == 2 and "accept_if_detected" in done.errors[0]


# ---- one batch, without a training


@pytest.fixture
def batch(make):  # noqa: F811
    return OpenBatch(make(), 0, 0, None, "accept_if_detected", 0.0)


def test_names_and_messages_that_cannot_be_used_change_nothing(batch, run):  # noqa: F811
    desk = Desk("run")
    desk.lay(batch)
    good = {"kind": "accept", "n": 1, "id": "0-0"}
    for sent in (
        None,
        [],
        {},
        {"name": "ann"},
        {"name": 3, "batch": batch.id},
        {"name": "ann", "batch": "old", "message": good},
        {"name": " ", "batch": batch.id, "message": good},
        {"name": "x" * 41, "batch": batch.id, "message": good},
        {"name": "a\nb", "batch": batch.id, "message": good},
        {"name": "auto: accept", "batch": batch.id, "message": good},
        {"name": "ann", "batch": batch.id, "message": {"kind": "__init__", "n": 1}},
        {"name": "ann", "batch": batch.id, "message": {"kind": "accept", "n": "1"}},
        {"name": "ann", "batch": batch.id, "message": "accept"},
    ):
        with pytest.raises(ReviewError):
            desk.heard(sent)
    assert not reviews(run)
    assert "error" in batch.heard("ann", {"kind": "accept", "n": 1, "id": "9-9"})[0] and not reviews(run)


def test_undo_leaves_what_somebody_else_has_changed_since(batch, run):  # noqa: F811
    batch.heard("ann", {"kind": "accept", "n": 1, "id": "0-0"})
    batch.heard("bob", {"kind": "reject", "n": 1, "id": "0-0"})
    (answer,) = batch.heard("ann", {"kind": "undo", "n": 2, "ids": ["0-0"]})
    assert [(i["id"], i["state"], i["who"]) for i in answer["items"]] == [("0-0", "rejected", "bob")]
    batch.heard("bob", {"kind": "undo", "n": 2, "ids": ["0-0"]})
    assert batch.queue["0-0"].state == "accepted" and batch.queue["0-0"].who == "ann"
    batch.heard("ann", {"kind": "undo", "n": 3, "ids": ["0-0"]})
    assert batch.queue["0-0"].state == "open"


def test_half_a_draft_is_not_trained_on_at_the_deadline(make, run):  # noqa: F811
    for default, states in (
        ("accept", ["accepted", "accepted", "accepted", "rejected"]),
        ("accept_if_detected", ["accepted", "accepted", "accepted", "rejected"]),
        ("reject", ["rejected"] * 4),
    ):
        (run.path / "reviews.jsonl").unlink(missing_ok=True)
        batch = OpenBatch(make(), 0, 0, 0.01, default, 0.0)
        batch.heard("ann", {"kind": "draft", "n": 1, "id": "0-0", "text": "I che"})
        batch.heard("ann", {"kind": "draft", "n": 2, "id": "0-3", "text": "half a sen"})
        time.sleep(0.02)
        batch.tick()
        assert batch.closed.is_set() and [i.state for i in batch.queue.items] == states, default
        assert batch.queue["0-0"].guidance.final_text == GOOD
        assert {line["who"] for line in reviews(run) if line["action"] != "draft"} == {f"auto: {default}"}
        with pytest.raises(ReviewError):
            Desk.heard(_desk(batch), {"name": "ann", "batch": batch.id, "message": {"kind": "accept", "n": 3, "id": "0-0"}})


def _desk(batch) -> Desk:
    desk = Desk()
    desk.lay(batch)
    return desk


def test_a_last_decision_can_be_taken_back_within_the_grace(make):  # noqa: F811
    batch = OpenBatch(make(), 0, 0, None, "reject", 30.0)
    for n, id in enumerate(("0-0", "0-1", "0-2"), 1):  # 0-3 was refused: there is nothing to decide about it
        assert batch.state("ann", 1)["goes_on_s"] is None
        batch.heard("ann", {"kind": "reject", "n": n, "id": id})
    assert 0 < batch.state("ann", 1)["goes_on_s"] <= 30
    batch.tick()
    assert not batch.closed.is_set()
    batch.heard("ann", {"kind": "draft", "n": 8, "id": "0-3", "text": "somebody rescues it"})
    assert batch.state("ann", 1)["goes_on_s"] is None
    batch.heard("ann", {"kind": "reject", "n": 9, "id": "0-3"})
    assert batch.state("ann", 1)["goes_on_s"] is not None
    batch.heard("ann", {"kind": "undo", "n": 10, "ids": ["0-2"]})
    assert batch.state("ann", 1)["goes_on_s"] is None


def test_refused_replies_alone_wait_for_people(make):  # noqa: F811
    refused = {f"0-{k}": replace(proposal(k, ""), status="rejected", reason="missing-tag", detail="no tag") for k in range(4)}
    batch = OpenBatch(make(proposals=refused), 0, 0, None, "reject", 0.0)
    batch.look()
    batch.tick()
    assert batch.state("ann", 1)["goes_on_s"] is None and not batch.closed.is_set()


def test_only_what_changed_is_sent_again(batch):
    whole = batch.state("ann", 0)
    assert len(whole["items"]) == 4 and whole["traits"]["max_tokens"] == 60
    batch.heard("bob", {"kind": "accept", "n": 1, "id": "0-1"})
    later = batch.state("ann", 0)["version"]
    batch.heard("bob", {"kind": "preview", "n": 2, "id": "0-1", "text": "x"})
    batch.heard("bob", {"kind": "reject", "n": 3, "id": "0-2"})
    assert [i["id"] for i in batch.state("ann", later)["items"]] == ["0-2"]
