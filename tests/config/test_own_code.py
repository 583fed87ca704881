"""A function of the user's own is found where the config or the shell stands, and only for as long as it takes to load it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from thinklab.config.load import load_config
from thinklab.errors import ConfigError, TeacherError
from thinklab.experiment.check_lines import check_lines
from thinklab.interop import own_code
from thinklab.interop.own_code import find_function, look_beside
from thinklab.lab.settings import experiment as lab_experiment
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
    assert (
        find_function("mine_a:f", "the rule", ConfigError)() == "there"
        and find_function("mine_b:f", "the rule", ConfigError)() == "b"
    )
    assert sys.path == before


def test_a_module_finds_its_neighbors_and_packages(tmp_path, monkeypatch):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "inner.py").write_text("import neighbor_c\ndef f(): return neighbor_c.value\n")
    (tmp_path / "neighbor_c.py").write_text("value = 3\n")
    monkeypatch.chdir(tmp_path)
    assert find_function("pack.inner:f", "the rule", ConfigError)() == 3


def test_a_file_with_the_name_of_an_installed_module_replaces_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("def loads(): return 'mine'\n")
    with pytest.raises(ConfigError, match="give the file another name"):
        find_function("json:loads", "the rule", ConfigError)
    (tmp_path / "wandb_d").mkdir()  # a folder of results is no package
    assert find_function("math:sqrt", "the rule", ConfigError)(4) == 2
    with pytest.raises(ConfigError, match=r"no module 'wandb_d(\.x)?'"):
        find_function("wandb_d.x:f", "the rule", ConfigError)


@pytest.mark.parametrize(
    "text, name, said",
    [
        ("def f(: pass", "bad_e:f", "bad_e.py:1: SyntaxError"),
        ("x = 1\n1/0\n", "bad_e2:f", "bad_e2.py:2: ZeroDivisionError"),
        ("import no_such_thing\n", "bad_e3:f", "bad_e3.py:1: No module named 'no_such_thing'"),
        ("f = 3\n", "bad_e4:f", "f is not a function in"),
        ("g = 3\n", "bad_e5:f", "f does not exist in"),
        ("", "bad_e6:", "write FILE:NAME"),
        ("", "a-b:f", "write FILE:NAME"),
        ("", ":f", "write FILE:NAME"),
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


# --- ./file.py:name ------------------------------------------------------------------------------------------------


def test_a_file_by_its_path_may_have_any_name_and_finds_its_neighbors(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in "ab":
        (tmp_path / folder / "my-own.json.py").write_text(f"import neighbor_f\ndef f(): return {folder!r} + neighbor_f.value\n")
        (tmp_path / folder / "json.py").write_text(f"def loads(): return {folder!r}\n")
        (tmp_path / "neighbor_f.py").write_text("")
    for folder in "ab":
        (tmp_path / folder / "neighbor_f.py").write_text("value = '!'\n")
    monkeypatch.chdir(tmp_path / "a")
    before = list(sys.path)
    assert find_function("./my-own.json.py:f", "the rule", ConfigError)() == "a!"
    assert find_function("../b/my-own.json.py:f", "the rule", ConfigError)() == "b!"
    assert find_function(f"{tmp_path}/b/json.py:loads", "the rule", ConfigError)() == "b" and json.loads("1") == 1
    assert sys.path == before
    look_beside(tmp_path / "b" / "c.yaml")
    assert find_function("json.py:loads", "the rule", ConfigError)() == "a", (
        "a path in Python is not one of the last config that was read"
    )


def test_an_edited_file_is_loaded_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in (1, 2, 1):  # of one size, within one second
        (tmp_path / "mine.py").write_text(f"def f(): return {value}\n")
        assert find_function("mine.py:f", "the rule", ConfigError)() == value


@pytest.mark.parametrize(
    "text, name, said",
    [
        ("def f(: pass", "./bad.py:f", "bad.py:1: SyntaxError"),
        ("x = 1\n1/0\n", "./bad.py:f", "bad.py:2: ZeroDivisionError"),
        ("import no_such_thing\n", "./bad.py:f", "bad.py:1: No module named 'no_such_thing'"),
        ("f = 3\n", "./bad.py:f", "f is not a function in"),
        ("def brevity(): pass\n", "./bad.py:brevty", "brevty does not exist in {folder}/bad.py (did you mean 'brevity'?)"),
        ("", "./bad.py:f", "there is no file ./bad.py in {folder}"),
        ("", "/nowhere/bad.py:f", "'/nowhere/bad.py:f': there is no file /nowhere/bad.py"),
        ("x = 1\n", "./bad.py:", "write FILE:NAME, such as ./my.py:f"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_with_its_place(tmp_path, monkeypatch, text, name, said):
    monkeypatch.chdir(tmp_path)
    if text:
        (tmp_path / "bad.py").write_text(text)
    known = set(sys.modules)
    with pytest.raises(ConfigError) as caught:
        load_teacher("scripted", rule=name)
    assert said.format(folder=tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert not any("bad" in name for name in set(sys.modules) - known) or text[:1] in "fd"


def test_a_rule_in_a_file_beside_the_config_is_found_from_everywhere(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.py").write_text(RULE)
    file = tmp_path / "configs" / "e.yaml"
    file.write_text("behaviors: [self-check]\nteacher: {rule: './mine.py:f'}\n")
    monkeypatch.chdir(tmp_path)
    config = load_config(file, check=check_lines)
    assert config.teacher.options["rule"] == f"{tmp_path}/configs/mine.py:f"
    assert lab_experiment(file, [], None, {}, None)[0] == config
    (tmp_path / "other.py").write_text(RULE)  # an override is relative to where it is typed
    assert load_config(file, ["teacher.rule=other.py:f"]).teacher.options["rule"] == f"{tmp_path}/other.py:f"
    given = {"rule": "other.py:f"}
    assert (
        lab_experiment({"loss": {"method": "grpo"}}, [], None, {"teacher": given}, None)[0]
        .teacher.options["rule"]
        .startswith("/")
    )
    assert given == {"rule": "other.py:f"}, "the caller's own mapping is left alone"


@pytest.mark.parametrize(
    "yaml, said",
    [
        (
            "teacher:\n  rule: ./gone.py:f\n",
            "e.yaml:3:3: teacher.rule: there is no file ./gone.py (looked in the config's folder and in",
        ),
        ("teacher:\n  rule: ./mine.py:g\n", "e.yaml:3:3: the rule '{folder}/mine.py:g': g does not exist in {folder}/mine.py"),
        ("task: ./mine.py:nothing\n", "e.yaml:2:1: the task '{folder}/mine.py:nothing': nothing does not exist"),
        ("task: ./gone.py:MyTask\n", "e.yaml:2:1: task: there is no file ./gone.py"),
        (
            "task:\n  name: broken.py:MyTask\n",
            "e.yaml:3:3: the task '{folder}/broken.py:MyTask' cannot be imported: {folder}/broken.py:2: ",
        ),
    ],
)
def test_errors_name_the_line_of_the_config(tmp_path, yaml, said):
    (tmp_path / "mine.py").write_text(RULE)
    (tmp_path / "broken.py").write_text("x = 1\n1/0\n")
    (tmp_path / "e.yaml").write_text(f"behaviors: [self-check]\n{yaml}")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "e.yaml", check=check_lines)
    assert said.format(folder=tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_hash_of_a_file_follows_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_h.py").write_text(RULE)
    one = own_code.content_hash("./mine_h.py:f")
    assert len(one) == 12 and one == own_code.content_hash("mine_h:f") == own_code.content_hash(f"{tmp_path}/mine_h.py:g")
    (tmp_path / "mine_h.py").write_text(RULE + "\n")
    assert own_code.content_hash("./mine_h.py:f") != one
    assert own_code.content_hash("math:sqrt") is None and own_code.content_hash("./gone.py:f") is None
