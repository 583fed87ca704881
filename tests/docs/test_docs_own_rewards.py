"""Every block of docs/own-rewards.md does what the page says, in the order of the page.

- ``python`` and ``yaml`` with ``# file: NAME`` become that file; other ``python`` is executed;
- ``console``: each ``$`` line is run, and the lines after it must be in its output; ``# fails`` marks a failing one.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thinklab.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "own-rewards.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) == TEXT.count("```") / 2 and {kind for kind, _ in BLOCKS} == {"python", "yaml", "console"}
    for kind, text in BLOCKS:
        if file := re.match(r"# file: (\S+)\n", text):
            Path(file[1]).write_text(text, encoding="utf-8")
        elif kind == "python":
            exec(compile(text, str(PAGE), "exec"), {})
        else:
            console(text)


def console(text: str) -> None:
    for command, expected in re.findall(r"^\$ thinklab (.*)\n((?:[^$].*\n)*)", text, re.MULTILINE):
        words, _, note = command.partition("  #")
        result = CliRunner().invoke(app, shlex.split(words))
        assert (result.exit_code != 0) == (note.strip() == "fails"), result.output
        assert expected
        for line in expected.splitlines():
            assert line in f"{result.output}{result.exception}", f"{line!r} is not in the output of {words}:\n{result.output}"


@pytest.mark.parametrize("link", re.findall(r"\]\(([\w./-]+)\)", TEXT))
def test_links_lead_somewhere(link):
    assert (PAGE.parent / link).is_file()
