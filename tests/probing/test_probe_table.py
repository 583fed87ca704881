"""The probe's table: which rows there are, and that terminal, page, Lab and model card say the same."""

from __future__ import annotations

import io
import re
from html import unescape
from types import SimpleNamespace

from rich.console import Console

from thinklab.export.model_card import _measured
from thinklab.lab.results import LabProbe
from thinklab.probing.result import ProbeResult
from thinklab.probing.stats import Rate
from thinklab.probing.table import HEAD, WIDE, probe_rows
from thinklab.reports.console import probe_table
from thinklab.reports.run_page import _table


def result(right: int, shown: int, decoding: str = "T=1") -> ProbeResult:
    rates = (Rate(right, 50), Rate(right - 1, 50), Rate(50, 50))
    return ProbeResult(decoding, *rates, {"self-check": Rate(shown, 50)}, 41.26, 1, Rate(49, 50))


BEFORE, AFTER, CONTROL = result(20, 1), result(24, 31), result(23, 2)
OURS = {"before": {"T=1": BEFORE.to_json()}, "after": {"T=1": AFTER.to_json(), "greedy": result(30, 29, "greedy").to_json()}}
PLAIN = {"before": {"T=1": BEFORE.to_json()}, "after": {"T=1": CONTROL.to_json()}}


def test_before_is_shown_once_that_of_the_first_run_that_has_it():
    found = [(r.label, r.stage, r.result.decoding) for r in probe_rows({"ours": OURS, "plain": PLAIN})]
    assert found == [
        ("before", "before", "T=1"),
        ("ours", "after", "T=1"),
        ("ours", "after", "greedy"),
        ("plain", "after", "T=1"),
    ]
    late = [(r.label, r.stage) for r in probe_rows({"ours": {"after": OURS["after"]}, "plain": PLAIN})]
    assert late == [("ours", "after"), ("ours", "after"), ("before", "before"), ("plain", "after")]
    assert probe_rows({"not yet": {}}) == []


def test_every_view_says_what_the_rows_say():
    (row, *_) = probe_rows({"ours": {"after": {"T=1": AFTER.to_json()}}})
    assert row.cells() == ("ours", "T=1", AFTER.accuracy.percent, AFTER.first_accuracy.percent, "62.0 [48, 74]", "41")
    assert len(row.cells(WIDE)) == 8 and row.cells(WIDE)[5] == Rate(50, 50).percent
    both = ProbeResult("T=1", AFTER.accuracy, AFTER.accuracy, AFTER.finished, {"a": Rate(1, 2), "b": Rate(2, 2)}, 3.0)
    (row, *_) = probe_rows({"two": {"after": {"T=1": both.to_json()}}})
    assert row.cells()[4] == f"a {Rate(1, 2).percent}, b {Rate(2, 2).percent}" and row.cells(WIDE)[6] == ""

    rows = [[r.label, *r.cells()[1:]] for r in probe_rows({"after": OURS})]
    terminal = Console(width=200, record=True, file=io.StringIO())
    terminal.print(probe_table({"ours": OURS}))
    text = re.sub(" +", " ", terminal.export_text())
    card = "\n".join(_measured(SimpleNamespace(read_json=lambda name: OURS)))
    lab = LabProbe(7, {r.decoding: r for r in (AFTER, result(30, 29, "greedy"))}, {"T=1": BEFORE})
    for label, decoding, accuracy, first, behavior, tokens in rows:
        assert f"{label} {decoding} {accuracy} {first} {behavior} {tokens}" in text
        assert f"| {label} | {decoding} | {accuracy} | self-check {behavior} | {tokens} |" in card
        name = "step 7" if label == "after" else label
        assert (name, decoding, accuracy, first, behavior, tokens) in lab.rows()
    assert len(lab.rows()) == 3 and all(len(r) == len(HEAD) for r in lab.rows())


def test_the_page_shows_every_column_and_escapes_names():
    page = _table({"<b>ours": OURS})
    assert "<td>&lt;b&gt;ours<td>T=1" in page and "<tr class=before><td>before training<td>T=1" in page
    assert all(f"<th>{name}" in page for name in WIDE) and page.count("<tr class=after>") == 2
    assert f"{AFTER.accuracy.value:.3f}" in page and "<td>41.3</tr>" in unescape(page)
