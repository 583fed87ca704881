"""The curves of ``lab.compare``: one line per run at the right places, nothing of a name parsed as HTML, means that lag behind."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from thinklab.lab.curves import COLORS, chart, smoothed

LINES = {"this run": [(0, 0.0), (5, 0.5), (10, 1.0)], "<b>control & co": [(0, 0.25), (10, 0.25)]}


def test_every_run_is_a_line_whose_points_rise_with_its_shares():
    drawn = ElementTree.fromstring(chart("Accuracy", LINES))
    lines = [[tuple(map(float, p.split(","))) for p in line.get("points").split()] for line in drawn.findall("polyline")]
    assert [len(line) for line in lines] == [3, 2]
    (left, low), middle, (right, high) = lines[0]
    assert low > high and middle == (pytest.approx((left + right) / 2), pytest.approx((low + high) / 2))
    assert lines[1][0][1] == lines[1][1][1] == pytest.approx(low + (high - low) / 4)
    assert [line.get("stroke") for line in drawn.findall("polyline")] == list(COLORS[:2])
    tips = [dot.find("title").text for dot in drawn.findall("circle")]
    assert tips[1] == "this run, step 5: 50.0%" and tips[-1] == "<b>control & co, step 10: 25.0%"
    labels = [text.text for text in drawn.findall("text")]
    assert {"Accuracy", "0%", "100%", "5", "10", "this run", "<b>control & co"} <= set(labels)


def test_a_name_or_a_title_is_never_markup():
    drawn = chart('<script>"a"', {"<img src=x>": [(1, 0.5)]})
    assert not re.search(r"<(script|img)", drawn) and ElementTree.fromstring(drawn).get("aria-label") == '<script>"a"'


@pytest.mark.parametrize("lines", [{}, {"a": []}, {"a": [(0, 0.5)]}])
def test_nothing_is_drawn_before_the_first_step(lines):
    assert chart("Accuracy", lines) == ""


def test_a_smoothed_point_is_the_mean_of_itself_and_those_before_it():
    points = [(1, 0.0), (2, 1.0), (3, 0.5), (7, 0.0)]
    assert smoothed(points) == [(1, 0.0), (2, 0.5), (3, 0.5), (7, 0.5)]
    assert smoothed(points, window=1) == points and smoothed([]) == []
