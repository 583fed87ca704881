"""AIME by year: which questions, from which data, and what is said about years that the data lacks."""

from __future__ import annotations

import json

import pytest

from thinklab.errors import TaskError
from thinklab.tasks import _rows, load_task


def rows(*years, **more):
    return [{"problem": f"Which year? {y}", "answer": f"{y % 1000:03}", "year": y, **more} for y in years]


@pytest.fixture
def file(tmp_path):
    def write(lines):
        (tmp_path / "aime.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return tmp_path / "aime.jsonl"

    return write


@pytest.mark.parametrize(
    ("years", "golds"),
    [
        (None, ["21", "22", "22", "23", "24"]),
        (2022, ["22", "22"]),
        ([2024, 2021], ["21", "24"]),
        ("2022-2024", ["22", "22", "23", "24"]),
        ("2023 - 2023", ["23"]),
    ],
)
def test_years_select_from_a_file_and_keep_ids(file, years, golds):
    path = file(rows(2021, 2022, 2022, 2023, 2024))
    whole, task = load_task("aime", path=path), load_task("aime", path=path, years=years)
    found = task.load("test")
    assert [e.gold for e in found] == golds
    assert {e.id for e in found} <= {e.id for e in whole.load("test")} and task.verify("\\boxed{022}", whole.load("test")[1])


def test_a_year_is_also_read_from_text_numbers_and_addresses(file):
    wiki = "https://artofproblemsolving.com/wiki/index.php/{}_AIME_II_Problems/Problem_4"
    lines = [
        {"problem": "p", "answer": "1", "year": "2023"},
        {"problem": "p", "answer": "2", "year": 2022.0},
        {"problem": "p", "answer": "3", "url": wiki.format(2022)},
    ]
    assert [e.gold for e in load_task("aime", path=file(lines), years=[2022]).load("test")] == ["2", "3"]


@pytest.mark.parametrize(
    ("years", "said"),
    [
        ([2020, 2022, 2025], "no questions of 2020, 2025, only of 2021, 2022, 2023; change task.years, or pass task.path"),
        ("1990-1999", "no questions of 1990 to 1999, only of 2021, 2022, 2023"),
    ],
)
def test_years_that_the_data_lacks_are_named(file, years, said):
    path = file(rows(2021, 2022, 2023))
    with pytest.raises(TaskError, match=said) as error:
        load_task("aime", path=path, years=years).load("test")
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_questions_without_a_year_cannot_be_selected(file):
    path = file([*rows(2022), {"problem": "p", "answer": "1"}])
    with pytest.raises(TaskError, match="1 of 2 questions have no year, the first of them 'aime-aime-1'; add a column 'year'"):
        load_task("aime", path=path, years=2022).load("test")
    assert len(load_task("aime", path=path).load("test")) == 2


@pytest.mark.parametrize("years", ["2024-2022", "recent", [], [2022, "2023"], True, 22, 2022.5, {"from": 2022}])
def test_years_that_are_none_are_refused(years):
    with pytest.raises(TaskError, match="takes years such as 2024"):
        load_task("aime", years=years)


@pytest.mark.parametrize(
    ("years", "hub", "count"),
    [
        (None, "HuggingFaceH4/aime_2024", 2),
        (2024, "HuggingFaceH4/aime_2024", 2),
        ("2022-2024", "AI-MO/aimo-validation-aime", 3),
        ([1983, 2024], "gneubig/aime-1983-2024", 2),
    ],
)
def test_the_hub_s_set_follows_the_years(monkeypatch, years, hub, count):
    address = "https://artofproblemsolving.com/wiki/index.php/{}_AIME_I_Problems/Problem_1"
    hubs = {
        "HuggingFaceH4/aime_2024": [{"problem": "p", "answer": "7", "year": "2024"}] * 2,
        "AI-MO/aimo-validation-aime": [{"problem": "p", "answer": "7", "url": address.format(y)} for y in (2022, 2023, 2024)],
        "gneubig/aime-1983-2024": [{"Question": "p", "Answer": "7", "Year": y} for y in (1983, 1999, 2024)],
    }
    asked = []

    def give(source, split):
        asked.append((source.hub, split))
        return [_rows.Row(row, f"row {k}", f"aime-{k}") for k, row in enumerate(hubs[source.hub])]

    monkeypatch.setattr(_rows, "_hub_rows", give)
    found = load_task("aime", years=years).load("test")
    assert asked == [(hub, "train")] and len(found) == count and {e.gold for e in found} == {"7"}


def test_the_real_questions_are_of_2024(real):
    path = real("aime/test.jsonl")
    assert len(load_task("aime", path=path, years=2024).load("test")) == 30
    with pytest.raises(TaskError, match="no questions of 2022, 2023, only of 2024"):
        load_task("aime", path=path, years="2022-2024").load("test")
