"""The figures of docs/evidence.md and README equal the committed tables, and the tables equal what the raw files give.

A figure carries its source in a comment: ``.99<!--=TABLE BASE ARM "COLUMN" HOW-->``, where HOW is mean, median, min or max over seeds.
"""

from __future__ import annotations

import csv
import re
import statistics

import pytest

from tests.conftest import ROOT
from tools import make_tables

TABLES = ROOT / "docs" / "measurements"
SOURCE = re.compile(r"([-+]?\d*\.?\d+)( %)?<!--=(\S+) (\S+) (\S+) \"([^\"]+)\" (mean|median|min|max)-->")
PAGES = ("docs/evidence.md", "README.md", "docs/findings.md")
FOUND = [(page, *m.groups()) for page in PAGES for m in SOURCE.finditer((ROOT / page).read_text("utf-8"))]


def rows(table):
    with (TABLES / f"{table}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def value(row, column):
    if column == "onset":  # empty where it never came
        return float(row[column] or make_tables.NEVER)
    return float(row[column])


@pytest.mark.parametrize("page, shown, percent, table, base, arm, column, how", FOUND, ids=lambda x: str(x)[:20])
def test_the_figure_is_that_of_the_table(page, shown, percent, table, base, arm, column, how):
    values = [value(r, column) for r in rows(table) if (r["base"], r["arm"]) == (base, arm)]
    assert values, f"{page}: {table}.csv has no row {base} {arm}"
    found = {"mean": statistics.mean, "median": statistics.median, "min": min, "max": max}[how](values)
    digits = len(shown.partition(".")[2])
    assert abs(float(shown) / (100 if percent else 1) - found) <= 0.5000001 * 10 ** -(digits + (2 if percent else 0)), found


def test_the_page_has_sourced_figures_and_no_comment_that_the_test_does_not_read():
    assert sum(found[0] == "docs/evidence.md" for found in FOUND) >= 20
    for page in PAGES:
        assert (ROOT / page).read_text("utf-8").count("<!--=") == sum(found[0] == page for found in FOUND), page


def test_as_many_distinct_runs_stand_behind_the_older_tables_as_the_page_says():
    older = [p for p in TABLES.glob("*.csv") if not (TABLES / "raw" / f"{p.stem}.tar.xz").exists()]
    runs = [r for p in sorted(older) for r in rows(p.stem) if {"arm", "seed"} <= r.keys()]
    told = [
        "steps",
        "seed",
        "accuracy T=1",
        "tokens T=1",
        "behavior T=1",
        "accuracy greedy",
        "first answer T=1",
        "KL on neutral text",
    ]
    distinct = {tuple(r[key] for key in told) for r in runs}
    said = re.search(r"have (\d+) rows, behind which stand (\d+) distinct runs", (ROOT / "docs/evidence.md").read_text("utf-8"))
    assert said and (len(runs), len(distinct)) == (int(said[1]), int(said[2]))


def test_the_tables_of_the_studies_with_raw_files_are_built_from_these(tmp_path):
    built = make_tables.build(tmp_path)
    assert built, "no raw files are committed"
    for file in sorted(tmp_path.iterdir()):
        assert (TABLES / file.name).read_text("utf-8") == file.read_text("utf-8"), (
            f"run: python tools/make_tables.py ({file.name})"
        )
