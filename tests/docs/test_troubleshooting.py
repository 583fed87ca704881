"""docs/troubleshooting.md quotes the messages that thinklab gives."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
MESSAGES = [
    quoted
    for row in re.findall(r"^\| (.+?) \| .+ \| .* \|$", PAGE, re.MULTILINE)
    if row.startswith("`")
    for quoted in re.findall(r"`([^`]+)`", row)
]


@pytest.fixture(scope="module")
def said() -> str:
    """Every text in the code, one a line; a formatted text is split where a value stands."""
    trees = (ast.parse(file.read_text("utf-8")) for file in sorted((ROOT / "thinklab").rglob("*.py")))
    return "\n".join(
        node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_there_is_a_table_for_each_symptom():
    assert len(MESSAGES) > 55 and PAGE.count("\n## ") >= 9


@pytest.mark.parametrize("message", MESSAGES)
def test_the_message_is_one_of_the_code(said, message):
    assert message in said, "no message of thinklab has these words"
