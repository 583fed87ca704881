"""A function of the user's own is found where the config or the shell stands, and only for as long as it takes to load it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from thinklab.config import own_code
from thinklab.config.own_code import find_function, look_beside
from thinklab.errors import ConfigError, TeacherError
from thinklab.teachers import TeacherRequest, load_teacher
from thinklab.types import Example

REPLY = "<opinion>correct</opinion><reason>I check: fine.</reason><phrase>So \\boxed{1}.</phrase>"
RULE = f"def f(request):\n    return {REPLY!r}\n"


@pytest.fixture(autouse=True)
def as_started(monkeypatch):
    """What a console script sees: no working folder on the path, and no module from an earlier test."""
    monkeypatch.setattr(own_code, "_config_folders", [])
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", os.getcwd())])
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) is None or "pytest" in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_the_console_script_finds_a_rule_in_the_working_folder(tmp_path):
    script = Path(sys.executable).with_name("thinklab")
    if not script.is_file():
        pytest.skip("the package is not installed with its script")
    (tmp_path / "myrules.py").write_text(RULE)
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "1?", "response": "So \\boxed{1}."}) + "\n")
    command = [script, "guide", "a.jsonl", "--behavior", "self-check", "--teacher", "scripted", "-o", "rule=myrules:f"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0 and "replies: all 1 used" in done.stderr, done.stderr


def test_beside_the_config_comes_before_the_working_folder(tmp_path, monkeypatch):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine_a.py").write_text(f"def f(): return {name!r}\n")
    (tmp_path / "here" / "mine_b.py").write_text("def f(): return 'b'\n")
    monkeypatch.chdir(tmp_path / "here")
    look_beside(tmp_path / "there" / "c.yaml")
    before = list(sys.path)
    assert find_function("mine_a:f", "the rule")() == "there" and find_function("mine_b:f", "the rule")() == "b"
    assert sys.path == before


def test_a_module_finds_its_neighbors_and_packages(tmp_path, monkeypatch):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "inner.py").write_text("import neighbor_c\ndef f(): return neighbor_c.value\n")
    (tmp_path / "neighbor_c.py").write_text("value = 3\n")
    monkeypatch.chdir(tmp_path)
    assert find_function("pack.inner:f", "the rule")() == 3


def test_a_file_with_the_name_of_an_installed_module_replaces_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("def loads(): return 'mine'\n")
    with pytest.raises(ConfigError, match="give the file another name"):
        find_function("json:loads", "the rule")
    (tmp_path / "wandb_d").mkdir()  # a folder of results is no package
    assert find_function("math:sqrt", "the rule")(4) == 2
    with pytest.raises(ConfigError, match=r"no module 'wandb_d(\.x)?'"):
        find_function("wandb_d.x:f", "the rule")


@pytest.mark.parametrize(
    "text, name, said",
    [
        ("def f(: pass", "bad_e:f", "bad_e.py:1: SyntaxError"),
        ("x = 1\n1/0\n", "bad_e2:f", "bad_e2.py:2: ZeroDivisionError"),
        ("import no_such_thing\n", "bad_e3:f", "bad_e3.py:1: No module named 'no_such_thing'"),
        ("f = 3\n", "bad_e4:f", "f is not a function in"),
        ("g = 3\n", "bad_e5:f", "f does not exist in"),
        ("", "bad_e6:", "write module:function"),
        ("", "a/b.py:f", "write module:function"),
        ("", ":f", "write module:function"),
        ("", "no_such_e7:f", "no module 'no_such_e7' in"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path, monkeypatch, text, name, said):
    monkeypatch.chdir(tmp_path)
    module = name.partition(":")[0]
    if text:
        (tmp_path / f"{module}.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_teacher("scripted", rule=name)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert module not in sys.modules or said.startswith("f ")


def test_a_rule_that_fails_names_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_g.py").write_text("def f(request):\n    x = 1\n    return x / 0\n")
    with pytest.raises(TeacherError, match=r"mine_g:f' failed on 'e0': .*mine_g.py:3: ZeroDivisionError"):
        load_teacher("scripted", rule="mine_g:f").reply([TeacherRequest("0-0", (), Example("e0", "1?", "1"), "1", "self-check")])
