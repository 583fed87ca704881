"""Every block of docs/write-a-behavior.md does what the page says, in the order of the page.

- ``yaml`` with ``# file: NAME`` is written to that file; with ``# edit: NAME`` its second-last line replaces that line
  of the file, and the last one is put after it;
- ``console``: each ``$`` line is run, and the lines after it must be in its output; ``# fails`` marks a failing one;
- ``python`` is executed.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thinklab.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "write-a-behavior.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = {"yaml": 0, "console": 0, "python": 0}
    for kind, text in BLOCKS:
        done[kind] += 1
        globals()[kind](text)
    assert min(done.values()) >= 2 and sum(done.values()) == PAGE.read_text(encoding="utf-8").count("```") / 2


def test_the_behavior_in_the_readme_is_the_one_of_the_page():
    whole = next(text for kind, text in BLOCKS if text.startswith("# file: weakest-step.yaml")).partition("\n")[2]
    assert f"```yaml\n{whole}```" in (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    definition = whole.splitlines()[: whole.splitlines().index("tests:")]
    assert len(definition) <= 15 and len(whole.splitlines()) <= 20 and max(map(len, whole.splitlines())) <= 125


def yaml(text: str) -> None:
    action, name = re.match(r"# (file|edit): (\S+)\n", text).groups()
    if action == "file":
        Path(name).write_text(text, encoding="utf-8")
        return
    line, more = text.splitlines(keepends=True)[-2:]
    before = Path(name).read_text(encoding="utf-8")
    assert before.count(line) == 1
    Path(name).write_text(before.replace(line, line + more), encoding="utf-8")


def console(text: str) -> None:
    for command, expected in re.findall(r"^\$ thinklab (.*)\n((?:[^$].*\n)*)", text, re.MULTILINE):
        words, _, note = command.partition("#")
        result = CliRunner().invoke(app, shlex.split(words))
        assert (result.exit_code != 0) == (note.strip() == "fails"), result.output
        assert expected
        for line in expected.splitlines():
            assert line in result.output, f"{line!r} is not in the output of {words}:\n{result.output}"


def python(text: str) -> None:
    exec(compile(text, str(PAGE), "exec"), {})


def test_the_experiment_of_the_page_is_a_config(tmp_path):
    from thinklab.config.experiment import Experiment

    text = next(text for kind, text in BLOCKS if "experiment.yaml" in text)
    names = re.findall(r"name: ([\w./-]+), weight: (\d)", text)
    config = Experiment.model_validate({"name": "x", "behaviors": [{"name": n, "weight": float(w)} for n, w in names]})
    assert [(b.name, b.weight) for b in config.behaviors] == [("./spot-check.yaml", 2.0), ("self-check", 1.0)]


@pytest.mark.parametrize("link", re.findall(r"\]\(([\w./-]+)\)", PAGE.read_text(encoding="utf-8")))
def test_links_lead_somewhere(link):
    assert (PAGE.parent / link).is_file()
