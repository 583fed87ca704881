"""What ``thinklab eval`` prints when a grid is empty, half filled or full: no table without rows, and nothing said twice."""

from __future__ import annotations

import re
import sys

import pytest

from tests.evaluation.test_eval import MINI
from thinklab.cli.app import main
from thinklab.config.shipped import resource_dir
from thinklab.evaluation.plan import load_evaluation
from thinklab.tasks import load_task


@pytest.fixture
def printed(monkeypatch, capfd, tmp_path):
    """``thinklab eval`` on MINI with further options: (what it printed, its page)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eval.yaml").write_text(MINI)

    def run(*options, fails=False):
        monkeypatch.setattr(sys, "argv", ["thinklab", "eval", "eval.yaml", "--quiet", *options])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        assert bool(end.value.code) == fails, said.err
        return (said.err, "") if fails else (said.out, (tmp_path / "runs" / "mini" / "index.html").read_text())

    return run


def tables_without_rows(text):
    """Headers of Markdown tables, and of tables of the page, with no row or none with a figure in it."""
    lines = text.splitlines()
    empty = []
    for k, line in enumerate(lines):
        if line.startswith("| ---"):
            rows = []
            for row in lines[k + 1 :]:
                if not row.startswith("|"):
                    break
                rows.append([cell.strip() for cell in row.strip("|").split("|")][1:])
            if not any(cell for row in rows for cell in row):
                empty.append(lines[k - 1])
    for body in re.findall(r"<table.*?</table>", text, re.DOTALL):
        cells = re.split(r"<td[^>]*>", body)[1:]  # the page leaves out </td>
        if not any(re.sub(r"<[^>]+>", "", c).strip() for c in cells):
            empty.append(body[:120])
    return empty


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (["--only", "zero-shot/long"], "Not run yet: s1/*, zero-shot/sums."),
        (["--only", "zero-shot/*"], "Not run yet: s1/*."),
        ([], ""),
    ],
)
def test_no_empty_table_and_what_is_missing_once(printed, options, missing):
    text, page = printed(*options)
    assert not tables_without_rows(text) and not tables_without_rows(page)
    for where in (text, page):
        assert where.count("Not run yet") == bool(missing) and missing in where
    assert ("Against zero-shot" in text) == ("Against zero-shot" in page) == (not missing)
    again, _ = printed("--report-only")
    assert again == text, "the same without asking anything"


def test_a_report_of_nothing_is_one_line(printed):
    text, _ = printed("--report-only", fails=True)
    assert text == "error: runs/mini holds no finished run of any cell yet; run the same command without --report-only first\n"


def test_the_questions_that_travel_with_the_tiny_grid_are_whole():
    config = load_evaluation(resource_dir("examples") / "eval" / "tiny-grid.yaml")
    for name, b in config.benchmarks.items():
        task = load_task(b.task.name, path=b.task.path, **b.task.options)
        examples = task.load("test")
        assert len(examples) >= 5 and len({e.question for e in examples}) == len(examples), name
        for e in examples:
            assert task.verify(f"So \\boxed{{{e.gold}}}.", e) and not task.verify("So \\boxed{}.", e), e
