"""The page: one file, no network, model text escaped, and a verdict that follows from the figures."""

from __future__ import annotations

import re

import pytest

from thinklab.errors import RunError
from thinklab.reports.run_page import headline, report_folder, verdicts
from thinklab.run.folder import RunFolder

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def rate(count, total=500):
    from thinklab.probing.stats import Rate

    r = Rate(count, total)
    return {"count": count, "total": total, "value": r.value, "low": r.low, "high": r.high}


def result(accuracy, shown, decoding="T=1", name="self-check"):
    return {
        "decoding": decoding,
        "accuracy": rate(accuracy),
        "first_accuracy": rate(accuracy),
        "finished": rate(500),
        "behaviors": {name: rate(shown)},
        "mean_tokens": 20.0,
    }


def probe(before, after):
    return {
        stage: {d: result(*figures, d) for d in ("T=1", "greedy")} for stage, figures in (("before", before), ("after", after))
    }


@pytest.fixture
def folder(tmp_path):
    for name, after in (("aas", (490, 500)), ("grpo", (200, 0))):
        run = RunFolder.create(tmp_path / name, {"name": EVIL}, {EVIL: "x"})
        found = {
            stage: {d: result(*figures, d, EVIL) for d in ("T=1", "greedy")}
            for stage, figures in (("before", (180, 0)), ("after", after))
        }
        run.write_json("probe.json", found)
        run.append("probes", [{"step": s, **result(180, 0, name=EVIL)} for s in (0, 10)])
        run.append(
            "probe_samples",
            [
                {
                    "stage": stage,
                    "example_id": "e",
                    "question": EVIL,
                    "gold": EVIL,
                    "decoding": "T=1",
                    "text": EVIL,
                    "correct": True,
                    "behaviors": {EVIL: True},
                }
                for stage in ("before", "after")
            ],
        )
        run.append(
            "tokens",
            [
                {
                    "rollout": "0-0",
                    "step": 0,
                    "advantage": 1.0,
                    "tokens": [EVIL, "</script>"],
                    "teacher": [0, 1],
                    "probability": [0.5, 1e-6],
                    "weight": [1.0, 0.01],
                }
            ],
        )
        run.append("rollouts", [{"guidance": {"status": "rejected", "reason": EVIL, "behavior": EVIL, "behavior_hash": EVIL}}])
    return tmp_path


def test_one_file_without_network_and_everything_escaped(folder):
    page = report_folder(folder).read_text()
    assert EVIL not in page and "onerror=alert(2)>" not in page
    shown = re.sub(r"<script id=\"plotly\".*?</script>", "", page, flags=re.DOTALL)
    assert "&lt;script&gt;alert(1)" in shown and "<img" not in shown
    assert shown.count("<script") == shown.count("</script>")
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", shown)
    assert len(page) < 5_000_000


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"no config\.yaml"):
        report_folder(tmp_path)


@pytest.mark.parametrize(
    "aas, grpo, answer",
    [
        ((180, 0, 490, 500), (180, 0, 200, 0), "Yes."),
        ((180, 0, 180, 0), (180, 0, 200, 0), "No."),
        ((180, 0, 490, 300), (180, 0, 490, 295), "Not clear."),
        ((180, 0, 490, 2), (180, 0, 490, 0), "No."),
    ],
)
def test_the_headline_follows_from_the_intervals(aas, grpo, answer):
    text = headline({"ThinkTuning": probe(aas[:2], aas[2:]), "plain GRPO": probe(grpo[:2], grpo[2:])})
    assert text.startswith(answer)


def test_nothing_seen_is_given_as_an_upper_bound():
    said = verdicts({"grpo": probe((180, 0), (200, 0))})[0]
    assert "never seen in 500 answers" in said and "0.0060" in said


def test_each_behavior_of_a_mixture_is_counted_with_its_template(tmp_path):
    config = {"name": "x", "behaviors": [{"name": "self-check", "weight": 3.0}, {"name": "./mine.yaml", "weight": 1.0}]}
    run = RunFolder.create(tmp_path / "aas", config, {"self-check": "aaa111", "mine": "bbb222"})
    found = {stage: {d: result(180, 0, d) for d in ("T=1", "greedy")} for stage in ("before", "after")}
    run.write_json("probe.json", found)
    run.append(
        "rollouts",
        [
            {"guidance": {"status": "accepted", "behavior": b, "behavior_hash": h}}
            for b, h in [("self-check", "aaa111")] * 3 + [("mine", "bbb222")]
        ],
    )
    rows = re.findall(r"<tr>(<td>.*?)</tr>", report_folder(tmp_path).read_text().replace("\n", ""))
    cells = [re.sub("<[^>]+>", "|", row) for row in rows]
    assert any(re.search(r"self-check\|+75%\|+aaa111\|+accepted\|+3\|+75%", c) for c in cells), cells
    assert any(re.search(r"mine\|+25%\|+bbb222\|+accepted\|+1\|+25%", c) for c in cells), cells
