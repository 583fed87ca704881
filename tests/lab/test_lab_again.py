"""A Lab on a finished run, the stop-here cell, and what guards and progress bars leave behind in a notebook."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from tests.lab.conftest import SMALL, Flaky, same, step, weights
from thinklab import Lab, load_teacher
from thinklab.errors import LabError, ReviewError
from thinklab.lab import guard_lines, stop, worker
from thinklab.lab.worker import Progress, bar
from thinklab.teachers import TeacherReply


def finished(make, by_hand=True, **settings):
    lab = make(**settings)
    if by_hand:
        batch = lab.rollout()
        ids = list(lab.guide(batch))
        lab.queue.edit(ids[0], "I check: it is two. So \\boxed{2}.")
        lab.queue.reject(ids[1])
        lab.update(batch, auto="accept")
    lab.train()
    lab.probe()
    return lab


def test_a_finished_run_that_is_opened_again_shows_what_was_done(make, tmp_path):
    lab = make()
    batch = lab.rollout()
    proposals = dict(lab.guide(batch))
    ids = list(proposals)
    lab.queue.edit(ids[0], "I check: it is two. So \\boxed{2}.")
    lab.queue.reject(ids[1])
    reach = repr(lab.reach(batch))
    metrics = lab.update(batch, auto="accept")
    last = lab.train()
    lab.close()
    before, disk = weights(tmp_path / "run"), {p: p.read_bytes() for p in (tmp_path / "run").glob("*.jsonl")}

    teacher = Flaky()
    again = Lab(SMALL, out=tmp_path / "run", teacher=None or SMALL["teacher"], quiet=True)
    again._engine.session.teaching.guide.teacher = teacher
    assert again.rollout() == batch and dict(again.guide(batch)) == proposals and not teacher.asked
    states = ["edited", "rejected", "accepted", "accepted"]
    assert [i.state for i in again.queue.items] == states and again.queue.items[0].who == "ann"
    for review in (again.review(batch), again.review(batch, auto="reject"), again.stop_here()):
        assert "2 accepted, 1 edited, 1 rejected" in repr(review)
    with pytest.raises(ReviewError, match="finished"):
        again.queue.accept(ids[1])
    assert repr(again.reach(batch)) == reach
    figures = again.update(batch)
    assert dict(figures) == dict(metrics) and figures.learned == metrics.learned and figures.learned.texts
    assert again.train() == last and again.step == 4
    with pytest.raises(LabError, match="all 4 steps"):
        again.train(1)
    assert again.probe().step == 4
    again.close()
    assert same(weights(tmp_path / "run"), before)
    assert all(p.read_bytes() == data for p, data in disk.items()), "looking changes no record"


def test_a_run_that_trained_unattended_shows_its_first_batch(make, tmp_path):
    finished(make, by_hand=False).close()
    with Lab(SMALL, out=tmp_path / "run", quiet=True) as lab:
        batch = lab.rollout()
        assert batch.generation == 0 and len(batch.rollouts) == 8 and not any(r.guided for r in batch.rollouts)
        assert len(lab.guide(batch).usable) == 4 and "4 accepted" in repr(lab.review(batch))
        assert lab.update(batch)["step"] == 1 and not list(lab.run.read("reviews"))


def test_a_finished_run_without_a_teacher(make, tmp_path):
    finished(make, by_hand=False, loss={"method": "grpo"}).close()
    with Lab(SMALL, out=tmp_path / "run", loss={"method": "grpo"}, quiet=True) as lab:
        batch = lab.rollout()
        assert len(lab.guide(batch)) == 0 and lab.update(batch)["step"] == 1
        with pytest.raises(LabError, match="no teacher"):
            lab.review(batch)


def test_run_all_stops_once_for_a_person_and_never_where_nobody_is(make, monkeypatch):
    lab = make()
    lab.guide(lab.rollout())
    assert "4 open" in repr(lab.stop_here()), "a script does not stop"
    monkeypatch.setattr(stop, "someone_is_there", lambda: True)
    with pytest.raises(stop.YourTurn, match=r"4 of 4 pieces of guidance are undecided.*Run Selected Cell and All Below"):
        lab.stop_here()
    assert "4 open" in repr(lab.stop_here()), "the second time it lets the cells below decide"
    lab.update(auto="accept")
    lab.guide(lab.rollout())
    lab.review(auto="accept")
    assert "4 accepted" in repr(lab.stop_here()), "nothing is left to decide"


def drawn(monkeypatch, end, notebook=True):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(worker, "_shows_bars", lambda: notebook)
    monkeypatch.setattr(worker, "sys", SimpleNamespace(stdout=out, stderr=err))
    progress = Progress()
    progress.begin("sampling", 100)
    try:
        with bar(progress, quiet=False) as draw:
            progress.done = 27
            draw()
            end(progress, draw)
    except RuntimeError:
        pass
    return out.getvalue().split("\r")[-1], err.getvalue()


def test_a_bar_ends_full_as_text_and_one_that_failed_stands_where_it_was(monkeypatch):
    line, red = drawn(monkeypatch, lambda progress, draw: None)
    assert "100%" in line and "100/100" in line and not red, "answers that end early are no failure"

    def fail(progress, draw):
        raise RuntimeError

    line, _ = drawn(monkeypatch, fail)
    assert "27%" in line and "100%" not in line


def test_each_text_of_a_call_ends_full(monkeypatch):
    def further(progress, draw):
        progress.begin("update", 8)
        progress.done = 8
        draw()

    out = io.StringIO()
    monkeypatch.setattr(worker, "_shows_bars", lambda: True)
    monkeypatch.setattr(worker, "sys", SimpleNamespace(stdout=out, stderr=io.StringIO()))
    progress = Progress()
    progress.begin("sampling", 100)
    with bar(progress, quiet=False) as draw:
        progress.done = 27
        draw()
        further(progress, draw)
    lines = [line.split("\r")[-1] for line in out.getvalue().split("\n") if line.strip()]
    assert len(lines) == 2 and "sampling: 100%" in lines[0] and "update: 100%" in lines[1]


ALARM = "guard: step 5: KL rises by 5e-4. Likely cause: updates too large. What to do: a lower learning rate"


def test_a_guard_is_one_line_that_points_at_the_dashboard(capsys, monkeypatch):
    guard_lines.show_guard(ALARM)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "step 5: KL rises by 5e-4" in said and "lab.dashboard()" in said and "too large" not in said
    shown = []
    monkeypatch.setattr(guard_lines, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda html: shown.append(html.data))
    guard_lines.show_guard(ALARM.replace("KL", "<b>KL"))
    assert (
        '<summary>guard: step 5: &lt;b&gt;KL rises by 5e-4 <a href="#thinklab-dashboard">dashboard</a></summary>' in shown[0]
        and "<details>" in shown[0]
    )
    assert "lab.dashboard()" in shown[0] and "a lower learning rate" in shown[0]


def test_the_dashboard_marks_the_steps_of_alarms_and_every_view_is_one_call(make):
    lab = make()
    for call in (lab.dashboard, lab.tokens, lab.losses):
        with pytest.raises(LabError, match=r"lab.update"):
            call()
    assert not lab.explorer().tokens
    step(lab)
    plain = len(lab.dashboard().layout.shapes or ())
    lab.run.append("alarms", [{"step": 1, "kind": "collapse", "sign": "kl", "seen": "", "cause": "", "mend": ""}])
    assert len(lab.dashboard().layout.shapes) == plain + 5, "every panel that has a curve"
    step(lab)
    assert "tl-tokens" in lab.tokens("probability", step=0).to_html() or "token" in lab.tokens(step=0).to_html()
    with pytest.raises(LabError, match=r"no traced tokens of step 7; there are some of 0, 1"):
        lab.tokens(step=7)
    assert lab.explorer(step=0).tokens
    lab.probe()
    assert "before" in lab.side_by_side(3).to_html()
    page = lab.report()
    assert page.read_text().count("The same questions") == 1


def test_the_table_of_losses_tells_them_apart(make):
    lab = make()
    step(lab)
    rows = {row[0]: row[2:] for row in lab.losses().rows}
    assert len(rows) == 5 and "none; computed" in repr(lab.losses()) and "p < 0.0001" in repr(lab.losses())
    kinds = list(rows.values())
    columns = list(zip(*kinds, strict=True))
    assert len(set(columns)) == 4, "no two losses have the same weights"
    aas, luffy, ratio, authors = columns
    assert set(ratio) == {"1.000"} and float(aas[0]) < 0.2 and aas[3] == "0.000" and authors[3] == "1.000"
    assert float(authors[1]) > 2 > float(aas[1]) and float(luffy[2]) < 0.3 < float(aas[2])


def test_a_question_of_your_own_is_answered_as_now_and_as_before(make):
    lab = make(learning_rate=0.02)
    question = "Tom has 12 figs and finds 7 more. How many figs are there?"
    first = lab.ask(question)
    assert first.before is None and "boxed" in first.now and question in repr(first)
    for _ in range(3):
        step(lab)
    then = lab.ask(question)
    assert then.before == first.now and lab.rollout() and lab.ask(question).now == then.now
    assert "before training" in then._repr_html_()


def test_teachers_are_compared_on_the_same_answers(make, tmp_path):
    lab = make()
    batch = lab.rollout()
    wrong = load_teacher("scripted", rule="sums-check", wrong_share=1.0)
    found = lab.teachers({"rule": load_teacher("scripted", rule="sums-check"), "wrong": wrong, "mute": Mute()}, wanted=2)
    rows = {row[0]: row for row in found.rows()}
    assert rows["rule"][1:4] == ("4 of 4", "4 of 4", "nothing") and rows["wrong"][1:3] == ("4 of 4", "0 of 4")
    assert rows["mute"][1] == "0 of 4" and rows["mute"][5] == "mute" and "ms" in rows["rule"][4]
    assert {i.id for i in found.found[0].queue.items} == {i.id for i in found.found[1].queue.items}
    assert "I check" in repr(found["rule"]) and not list(lab.run.read("reviews")) and lab.batch == batch
    with pytest.raises(LabError, match=r"no teacher 'rul' in this table.*did you mean 'rule'"):
        found["rul"]


class Mute:
    name = "mute"

    def reply(self, requests):
        return [TeacherReply(r.id, error="mute", detail="says nothing") for r in requests]


def test_what_a_pane_leaves_behind_is_short(make):
    from thinklab.widgets.review_html import review_view

    lab = make()
    lab.guide(lab.rollout())
    queue = lab.queue
    queue.edit(queue.items[0].id, "I check: it is two. So \\boxed{2}.")
    assert review_view(queue).to_html().count("<details open>") == 3, "to read, while it can be decided"
    lab.update(auto="accept")
    left = review_view(queue).to_html()
    top = left.split("<details>")[0]
    assert "1 accepted, edited" in top and "two</ins>" in top and "<details open" not in left and left.count("<details") == 5


def test_in_a_file_a_bar_is_whole_lines(monkeypatch):
    _, lines = drawn(monkeypatch, lambda progress, draw: (setattr(progress, "done", 60), draw()), notebook=False)
    assert "\r" not in lines and lines.endswith("\n")
    assert [line.split(" [")[0] for line in lines.splitlines()][-1] == "sampling: 100/100"
    assert len(set(lines.splitlines())) == len(lines.splitlines())
