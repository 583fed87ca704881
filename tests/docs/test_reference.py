"""The reference pages are those that the code gives, and nothing in them lacks a description."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tools import make_reference as reference


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_page_is_up_to_date(name):
    there = (ROOT / "docs" / name).read_text("utf-8")
    assert there == reference.PAGES[name](), "run python tools/make_reference.py"


def test_every_key_of_a_config_has_a_description():
    found = list(reference.sections())
    assert {at for at, _ in found} >= {"student", "student.lora", "guidance.schedule", "train.vllm", "guards", "review"}
    missing = [f"{at}.{key}" for at, model in found for key in model.model_fields if key not in reference.descriptions(model)]
    assert not missing, f"say below each key what it does: {missing}"
    assert not [at for at, model in found if not model.__doc__]
    assert sum(len(model.model_fields) for _, model in found) > 100


def test_a_key_without_a_description_would_be_found():
    class Undescribed(reference.BaseModel):
        said: int = 1
        """What it is."""
        silent: int = 2

    assert reference.descriptions(Undescribed) == {"said": "What it is."}


@pytest.mark.parametrize("name", [name for name in reference.PAGES if name.startswith("reference/")])
def test_no_row_is_empty(name):
    """Keys of models, options of teachers, and arguments and options of commands: whatever the pages list has a meaning."""
    rows = re.findall(r"^\| (`.*) \|$", reference.PAGES[name](), re.MULTILINE)
    assert len(rows) > 40
    assert not [row for row in rows if not re.search(r"[\w`]\W*$", row.rpartition(" | ")[2])]


def test_defaults_limits_and_profiles_are_those_of_the_models():
    page = reference.config_page()
    assert "| `samples` | integer; at least 2 | `8` | Answers per question (group size n). Profiles: `8` by tiny, t4" in page
    assert "| `lora` | [section](#studentlora) or `null` | see there |" in page
    for key in ("train.report_to", "guidance.schedule.off_at", "review.grace_s"):
        at, _, name = key.rpartition(".")
        section = re.search(rf"^## {re.escape(at)}\n.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[0]
        assert f"| `{name}` |" in section


def test_each_command_has_its_place():
    page = reference.cli_page()
    for command in ("thinklab train", "thinklab behaviors lint", "thinklab harness export", "thinklab doctor"):
        assert f"\n## {command}\n" in page
    assert "\n## thinklab experiment\n" not in page  # hidden
