"""``thinklab teachers``, ``tasks`` and ``students``: every part, one line about it, what it needs, and whether that is here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from thinklab.cli import parts
from thinklab.cli.app import app
from thinklab.students import KINDS
from thinklab.tasks import task_names
from thinklab.teachers import teacher_names


def listed(command, *args):
    result = CliRunner().invoke(app, [command, *args], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def by_name(command):
    return {part["name"]: part for part in json.loads(listed(command, "--json"))}


@pytest.mark.parametrize(
    "command, names", [("teachers", teacher_names), ("tasks", task_names), ("students", lambda: list(KINDS))]
)
def test_every_part_is_listed_with_one_line(command, names):
    found = by_name(command)
    assert list(found) == names()
    assert all(len(part["about"]) > 15 and "``" not in part["about"] and "\n" not in part["about"] for part in found.values())
    text = listed(command)
    assert all(f"\n{name} " in text for name in found)


def test_a_teacher_says_which_package_and_which_key_it_needs(monkeypatch):
    for key in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", "x")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "openai" else real(name, *a))
    found = {name: {need["what"]: need for need in part["needs"]} for name, part in by_name("teachers").items()}
    assert found["anthropic"]["ANTHROPIC_API_KEY"]["present"] is False
    assert found["openai"]["package openai"] == {
        "what": "package openai",
        "present": False,
        "fix": "pip install 'thinklab[openai]'",
    }
    assert found["gemini"]["GEMINI_API_KEY or GOOGLE_API_KEY"]["present"] is True
    assert any("127.0.0.1:11434" in what for what in found["ollama"]) and not found["scripted"]
    text = " ".join(listed("teachers").split())
    assert "package openai: missing (pip install 'thinklab[openai]')" in text and "OPENAI_API_KEY: missing" in text


def test_a_task_says_where_its_questions_are(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert by_name("tasks")["gsm8k"]["needs"] == [{"what": "openai/gsm8k from the Hub, or task.path", "present": None, "fix": ""}]
    (tmp_path / "hub" / "datasets--openai--gsm8k").mkdir(parents=True)
    assert by_name("tasks")["gsm8k"]["needs"][0]["present"] is True
    assert by_name("tasks")["sums"]["needs"] == []


def test_a_student_says_that_it_needs_a_gpu(monkeypatch):
    monkeypatch.setattr(parts.shutil, "which", lambda name: None)
    needs = {need["what"]: need["present"] for need in by_name("students")["unsloth"]["needs"]}
    assert needs["an NVIDIA GPU"] is False and "package unsloth" in needs


@pytest.mark.parametrize("group", ["teachers", "tasks", "students"])
def test_parts_of_other_packages_are_listed_without_being_imported(group, tmp_path, monkeypatch):
    info = tmp_path / "parrot-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1\nSummary: Says the same again\n")
    (info / "entry_points.txt").write_text(f"[thinklab.{group}]\nparrot = parrot_that_is_not_there:Parrot\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert by_name(group)["parrot"] == {"name": "parrot", "about": "Says the same again", "package": "parrot 1", "needs": []}
    assert "Says the same again (plugin parrot 1)" in listed(group)


def test_the_lists_load_no_library():
    code = (
        "import sys\nfrom thinklab.cli import parts\n"
        "found = [*parts.all_teachers(), *parts.all_tasks(), *parts.all_students()]\n"
        "sys.exit(str([m for m in ('torch', 'transformers', 'datasets', 'openai', 'anthropic') if m in sys.modules]) "
        "if any(m in sys.modules for m in ('torch', 'transformers', 'datasets', 'openai', 'anthropic')) else len(found) < 20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
