"""Every mistake in a file is an error with file, line, column, the offending text and what to do."""

from __future__ import annotations

import re

import pytest

from thinklab.behavior.behavior import load_behavior
from thinklab.behavior.lint import lint
from thinklab.behavior.loader import read_text
from thinklab.config.shipped import resource_dir
from thinklab.errors import BehaviorError

GOOD = """\
name: mine
title: A title
description: What it does.
version: 1
teacher:
  system: Say {{ title }}.
  few_shots:
    - question: 1+1?
      response: So \\boxed{3}.
      verdict: incorrect
      reason: I check it.
      phrase: So \\boxed{2}.
detector:
  all:
    - phrase: I check
      count: 1
    - regex: check \\w+
reward: {bonus: 0.5}
"""

CASES = [  # what is replaced, by what, line:column, what the message says
    ("count: 1", "cuont: 1", "16:7", r"unknown key 'cuont' \(did you mean 'count'\?\)"),
    ("version: 1", "verson: 1", "4:1", r"unknown key 'verson' \(did you mean 'version'\?\)"),
    ("title: A title", "title: A title\ntitle: B", "3:1", r"'title' is written twice \(first in line 2\)"),
    ("reason: I check it.", "reason: no", "11:15", r'no may be a word or false.*write "no"'),
    ("title: A title", "title: On", "2:8", r"On may be a word or true"),
    ("title: A title", "title: 1:30", "2:8", r"'1:30' may be a text or a number.*write \"1:30\""),
    ("title: A title", "title: 0123", "2:8", r"'0123' may be a text or a number"),
    ("title: A title", "title: 12", "2:8", r'title: must be a valid string; write "12" in quotes'),
    ("title: A title", "title:", "2:1", r"title: there is no value after the colon"),
    ("version: 1", "version: 1.5", "4:10", r"version: must be a valid integer, not 1\.5"),
    ("version: 1", "version: true", "4:10", r"version: must be a valid integer, not True"),
    ("version: 1", "version: 0", "4:10", r"version: must be greater than or equal to 1, not 0"),
    ("verdict: incorrect", "verdict: incorect", "10:16", r"'correct' or 'incorrect', not 'incorect' \(did you mean 'incorrect'"),
    ("{{ title }}", "{{ titel }}", "6:18", r"no variable 'titel' here \(did you mean 'title'\?\)"),
    ("{{ title }}", "{{ question }}", "6:18", r"no variable 'question' here.*name, title, description"),
    ("{{ title }}", "{{ title | upperr }}", "6:26", r"no filter 'upperr' \(did you mean 'upper'"),
    ("{{ title }}", "{{ title", "6:15", r"not a template: .*literal braces"),
    ("{{ title }}", "{{ title.__class__ }}", "6:15", r"Getattr is not allowed"),
    ("{{ title }}", "{% for x in title %}{% endfor %}", "6:15", r"For is not allowed"),
    ("  few_shots:", "  few_shot:", "7:3", r"unknown key 'few_shot' \(did you mean 'few_shots'\?\)"),
    ("name: mine", "name: Mine", "1:7", r"name: lower case with hyphens, not 'Mine'; 'mine' would do"),
    ("check \\w+", "check (", "17:14", r"detector\.all\.1: 'check \(': not a regular expression"),
    ("check \\w+", "x*", "17:14", r"matches the empty text"),
    ("check \\w+", "((a{1000}){1000}){1000}", "17:14", r"repeats too much"),
    ("- regex: check", "- regx: check", "17:7", r"exactly one of the keys .* \(did you mean 'regex'\?\)"),
    ("- phrase: I check", "- phrase: I check\n      regex: a", "15:7", r"exactly one of the keys"),
    ("count: 1", "count: 1\n      at_least: 2", "15:7", r"either count or at_least/at_most"),
    ("count: 1", "where: begin", "16:14", r"not 'begin'"),
    ("reward: {bonus: 0.5}", "reward: {bonus: lots}", "18:17", r"reward\.bonus: must be a valid number, not 'lots'"),
    ("reward: {bonus: 0.5}", "splice: {fields: [reason, reason]}", "18:18", r"each field at most once"),
    ("reward: {bonus: 0.5}", "splice: {fields: [opinion]}", "18:19", r"'reason' or 'phrase', not 'opinion'"),
    ("reward: {bonus: 0.5}", "extends: nothing-like-it", "18:10", r"extends: no behavior 'nothing-like-it'"),
    ("reward: {bonus: 0.5}", "extends: self-chekc", "18:10", r"did you mean 'self-check'"),
    ("reward: {bonus: 0.5}", "extends: ../secret", "18:10", r"is not the name of a behavior"),
    ("reward: {bonus: 0.5}", "tests: {prompts: [{question: q, response: r}]}", "18:19", r"needs contains or lacks"),
    ("- phrase: I check", "- same_as: nobody\n    - phrase: I check", "15:16", r"same_as: no behavior 'nobody'"),
    ("reason: I check it.", "reason: I <phrase>check it.", "11:15", r"<phrase> is added around this text"),
    ("name: mine", "name: &a mine", "1:7", r"anchors and aliases are not supported"),
    ("name: mine", "name: *a", "1:7", r"anchors and aliases"),
    ("name: mine", "name: !!python/object:os.system mine", "1:7", r"tags .* are not supported"),
    ("name: mine", "? [a]\n: mine", "1:3", r"a key must be a plain word"),
    ("name: mine", "name: mine\n---\nname: other", "3:1", r"second YAML document"),
    ("name: mine", "name: [mine", "1:7|2:", r"not valid YAML"),
    ("title: A title", "title: {a: b}", "2:8", r"title: must be a valid string, not \{'a': 'b'\}; quote a text"),
    ("title: A title", "title: {{ name }} says", "2:19", r"not valid YAML: .* in 'title: .*quote a text that begins with \{\{"),
    ("title: A title", "title: {{ name }}", "2:9", r"a key must be a plain word.*quote a text that begins with \{\{"),
    ("title: A title", "title: I check: it", "2:15", r"in 'title: I check: it'; quote a text that contains ': '"),
    ("reward: {bonus: 0.5}", 'reward: "much', "18:9", r"a quotation mark opens here and is never closed"),
    ("title: A title", "title: @you", "2:8", r"quote a text that begins with this character"),
    ("title: A title", "title: A\0title", "2:9", r"U\+0000 is not allowed in a text file"),
    ("  system:", "\tsystem:", "6:1", r"indent with spaces, not with tabs"),
    # LaTeX between double quotes: a backspace, a form feed, a tab, none of which anybody would see
    ("phrase: So \\boxed{2}.", 'phrase: "So \\boxed{2}."', "12:19", r"\\boxed between double quotes .*\\\\boxed"),
    ("phrase: So \\boxed{2}.", 'phrase: "\\frac{1}{2}"', "12:16", r"\\frac between double quotes"),
    ("phrase: So \\boxed{2}.", 'phrase: "2 \\text{ m}"', "12:18", r"\\text between double quotes"),
    ("phrase: So \\boxed{2}.", 'phrase: "2 \\x07"', "12:15", r"a control character \(U\+0007\)"),
    ("phrase: So \\boxed{2}.", 'phrase: "\\q"', "12:17", r"unknown escape character 'q'.*single quotes for LaTeX"),
    ("{{ title }}", "\\frac{{1}}{2}", "6:20", r"a variable, not a number; for literal braces"),
    ("- phrase: I check\n      count: 1", "- I check", "15:7", r"exactly one of the keys .* not 'I check'; write `phrase"),
    ("- regex: check \\w+", "- python: x\n      options: {a: [1]}", "18:20", r"options\.a: must be a valid string, not \[1\]$"),
    ("count: 1", "count:", "16:7", r"detector\.all\.0\.count: there is no value after the colon"),
    ("check \\w+", "''", "17:14", r"regex: the text must have at least 1 character, not ''$"),
    ("check \\w+", "[a, 1]", "17:18", r"regex\.1: must be a valid string; write \"1\" in quotes for a text$"),
    ("check \\w+", "a" + "\n    - {regex: b, timeout_ms: 1000}" * 4, "14:3", r"time limits of its patterns add up to 4050 ms"),
    ("version: 1", "'#': 1\nversion: 1", "4:1", r"unknown key '#';"),
    ("version: 1", "version: '1'", "4:10", r"version: must be a valid integer, not '1'; write 1 without quotes"),
    ("teacher:\n", "teacher: you\nrest:\n", "5:10", r"teacher: must be keys and values, not 'you'"),
    ("reward: {bonus: 0.5}", "extends: ./self-check.yaml", "18:10", r"did you mean 'self-check'"),
    ("reward: {bonus: 0.5}", "extends: [a, b]", "18:10", r"extends: \['a', 'b'\] is not the name"),
    ("reward: {bonus: 0.5}", "extends:", "18:1", r"extends: there is no value"),
]


@pytest.mark.parametrize("old, new, where, what", CASES, ids=[f"{i}-{case[1][:24]!r}" for i, case in enumerate(CASES)])
def test_mistakes(old, new, where, what):
    assert read_text(GOOD, "mine.yaml").name == "mine"
    assert old in GOOD
    with pytest.raises(BehaviorError) as caught:
        read_text(GOOD.replace(old, new, 1), "mine.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert any(message.startswith(f"mine.yaml:{w}{'' if w.endswith(':') else ':'}") for w in where.split("|")), message
    assert re.search(what, message), message


def test_missing_few_shots():
    before, after = GOOD[: GOOD.index("  few_shots:")], GOOD[GOOD.index("detector:") :]
    with pytest.raises(BehaviorError, match=r"mine\.yaml:6:3: teacher\.few_shots is missing"):
        read_text(before + after, "mine.yaml")
    with pytest.raises(BehaviorError, match=r"mine\.yaml:7:14: teacher\.few_shots: the list must have at least 1 item"):
        read_text(before + "  few_shots: []\n" + after, "mine.yaml")


def test_user_template_needs_both_variables():
    with pytest.raises(BehaviorError, match=r"mine\.yaml:7:9: teacher\.user must contain \{\{ response \}\}"):
        read_text(GOOD.replace("  few_shots", "  user: '{{ question }}'\n  few_shots"), "mine.yaml")


def test_escapes_that_are_meant():
    text = GOOD.replace("phrase: So \\boxed{2}.", 'phrase: "So\\n\\tnot \\\\boxed{2}.\\u00e9"')
    assert read_text(text, "mine.yaml").teacher.few_shots[0].phrase == "So\n\tnot \\boxed{2}.é"


def test_lint_names_the_missing_package_and_what_nobody_sees(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        GOOD.replace("count: 1", "count: 1\n    - not: {python: not.here}").replace("A title", "A\u202e title"), encoding="utf-8"
    )
    found = {(f.level, f.line, f.column): f.message for f in lint(path)}
    assert "no installed package has a detector 'not.here'" in found["error", 17, 13]
    assert "invisible character (U+202E)" in found["warning", 2, 1]


def test_the_place_inside_a_block_of_text():
    text = GOOD.replace("system: Say {{ title }}.", "system: |\n    One line.\n    Two {{ name }} and {{ nmae }}.")
    with pytest.raises(BehaviorError, match=r"mine\.yaml:8:27: .*no variable 'nmae'.*did you mean 'name'"):
        read_text(text, "mine.yaml")


def test_judges_earn_nothing():
    judge = GOOD.replace("    - regex: check \\w+", "    - judge: Does it check?")
    with pytest.raises(BehaviorError, match="a judge is for probes only"):
        read_text(judge, "mine.yaml")
    assert read_text(judge.replace("reward: {bonus: 0.5}", ""), "mine.yaml").reward.bonus == 0


def test_circles(tmp_path):
    for name, other in (("aa", "bb"), ("bb", "cc"), ("cc", "aa")):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\nextends: {other}\n", encoding="utf-8")
    with pytest.raises(BehaviorError, match=r"cc\.yaml:2:10: extends: the references form a circle: aa -> bb -> cc -> aa"):
        load_behavior(tmp_path / "aa.yaml")
    (tmp_path / "me.yaml").write_text(GOOD.replace("- phrase: I check\n      count: 1", "- same_as: me"), encoding="utf-8")
    with pytest.raises(BehaviorError, match=r"me\.yaml:15:16: same_as: the references form a circle"):
        load_behavior(tmp_path / "me.yaml")


def test_a_mistake_in_a_parent_names_the_parent(tmp_path):
    (tmp_path / "base.yaml").write_text(GOOD.replace("count: 1", "count: none"), encoding="utf-8")
    (tmp_path / "child.yaml").write_text("name: child\nextends: base\n", encoding="utf-8")
    with pytest.raises(BehaviorError, match=r"base\.yaml:16:14: .*count: must be a valid integer, not 'none'"):
        load_behavior(tmp_path / "child.yaml")


def test_sizes(tmp_path):
    with pytest.raises(BehaviorError, match="the limit is 65536"):
        read_text("#" * 70_000, "big.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes(GOOD.replace("A title", "Größe").encode("latin-1"))
    with pytest.raises(BehaviorError, match=r"latin\.yaml:2:10: not UTF-8 text \(the byte 0xF6\)"):
        load_behavior(path)
    for text in ("", "# nothing\n", "null"):
        with pytest.raises(BehaviorError, match=r"mine\.yaml:1:1: "):
            read_text(text, "mine.yaml")


def test_lint_finds_all_of_them_in_order(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("version: 1", "version: x").replace("count: 1", "cuont: 1"), encoding="utf-8")
    assert [(f.level, f.line) for f in lint(path)] == [("error", 4), ("error", 16)]


def test_lint_warns_and_reads_the_few_shots(tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(GOOD.replace("reason: I check it.", "reason: It is so."), encoding="utf-8")
    found = lint(path)
    assert {f.level for f in found} == {"warning", "error"}
    text = "\n".join(map(str, found))
    for part in (
        "other.yaml:1:1: warning: the name is 'mine' but the file is 'other.yaml'",
        "every few-shot is incorrect",
        "write at least 10",
        "few-shot 1: the detector does not find the behavior in the guidance",
    ):
        assert part in text


@pytest.mark.parametrize("path", sorted(resource_dir("behaviors").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_files_name_the_schema_first(path):
    assert path.read_text(encoding="utf-8").splitlines()[0] == "# yaml-language-server: $schema=schema.json"
