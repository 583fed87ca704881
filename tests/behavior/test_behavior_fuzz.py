"""Whatever is in a file: a valid behavior, or a BehaviorError with a place. Never anything else, never over 2 s."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML, StringIO

from thinklab.behavior.behavior import Behavior
from thinklab.behavior.loader import read_text
from thinklab.config.shipped import resource_dir
from thinklab.errors import BehaviorError

FILES = [path.read_text(encoding="utf-8") for path in sorted(resource_dir("behaviors").glob("*.yaml"))]
PIECES = [
    "\n",
    "  ",
    "\t",
    ":",
    " : ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "|",
    ">",
    "&a",
    "*a",
    "!!python/object:os.system",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "no",
    "on",
    "1:30",
    "010",
    "{{ x }}",
    "{% for i in range(9) %}",
    "{{",
    "}}",
    "{#",
    "\x00",
    "\ufeff",
    "é",
    "\U0001f600",
    "\\",
    "\\x",
    "? ",
    "<<: ",
    "null",
    "~",
    "1e999",
    "-",
    "#",
    "regex: '(a|a)*$'",
    "((((((((",
    "extends: self-check",
    "same_as: cognitive-mix",
    "\ud800",
    "\x85",
    "\u2028",
    "@",
    "`",
    "{" * 50,
    "[" * 500,
    "- " * 300,
    "a: " * 30,
]
SLOWEST = 2.0  # seconds of processor time: the machine may be busy with something else


def attempt(text: str) -> Behavior | None:
    """Load it; check what an error looks like and how long it took."""
    start = time.process_time()
    try:
        behavior = Behavior(read_text(text, "file.yaml"))
        behavior.messages("question", "response")
    except BehaviorError as err:
        assert re.match(r"\S+\.yaml:[1-9]\d*:[1-9]\d*: \S", str(err)), str(err)
        assert "\n" not in str(err) and len(str(err)) < 2000
        behavior = None
    taken = time.process_time() - start
    assert taken < SLOWEST, f"{taken:.1f} s"
    return behavior


quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(st.text())
def test_any_text(text):
    attempt(text)


@quick
@given(st.lists(st.sampled_from([*PIECES, "name", "title", "teacher", "detector", "phrase", "x", " "]), max_size=60).map("".join))
def test_any_pieces_of_yaml(text):
    attempt(text)


def yaml_values():
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    keys = st.sampled_from(
        [
            "name",
            "title",
            "version",
            "teacher",
            "detector",
            "regex",
            "phrase",
            "all",
            "not",
            "where",
            "count",
            "tests",
            "splice",
            "reward",
            "extends",
            "same_as",
            "few_shots",
            "system",
        ]
    ) | st.text(max_size=5)
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=25)


@quick
@given(yaml_values())
def test_any_value_written_as_yaml(value):
    out = StringIO()
    YAML(typ="safe", pure=True).dump(value, out)
    attempt(out.getvalue())


@settings(quick, max_examples=300)
@given(st.sampled_from(FILES), st.integers(0, 2**32))
def test_any_mutation_of_a_good_file(text, seed):
    rng = random.Random(seed)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        text = mutated(text, rng)
    attempt(text)


def mutated(text: str, rng: random.Random) -> str:
    at, kind = rng.randrange(len(text) + 1), rng.random()
    if kind < 0.4:
        return text[:at] + rng.choice(PIECES) + text[at:]
    if kind < 0.6:
        return text[:at] + text[at + rng.choice([1, 1, 3, 20, 300]) :]
    if kind < 0.75:
        to = rng.randrange(len(text) + 1)
        return text[:to] + text[at : at + rng.choice([5, 40, 400])] + text[to:]
    if kind < 0.9:
        lines = text.split("\n")
        k = rng.randrange(len(lines))
        lines[k] = rng.choice(
            [lines[k][1:], f" {lines[k]}", lines[k] * 2, rng.choice(lines), f"{lines[k].split(':')[0]}: {rng.choice(PIECES)}"]
        )
        return "\n".join(lines)
    return text[:at] + chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x110000)])) + text[at + 1 :]


CHECK = FILES[[f.find("\nname: self-check\n") > 0 for f in FILES].index(True)]


def with_detector(detector: str) -> str:
    return CHECK[: CHECK.index("detector:")] + f"detector:\n  {detector}\n" + CHECK[CHECK.index("tests:") :]


def with_system(system: str) -> str:
    return CHECK[: CHECK.index("  system:")] + f"  system: {system}\n" + CHECK[CHECK.index("  few_shots:") :]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        "[" * 3000 + "]" * 3000,
        "- " * 30_000,
        "{a: " * 15_000,
        "? " * 20_000,
        ": " * 30_000,
        "\n" * 65_000,
        "\n".join(f"k{i}: 1" for i in range(5800)),
        "[" + "a," * 30_000 + "]",
        "{" + "a: 1," * 12_000,
        "&a " * 20_000,
        "!a " * 20_000,
        "'" * 60_001,
        "a: |\n" + " x\n" * 20_000,
        "\n".join(" " * i + "a:" for i in range(340)),
        '"' + "\\n" * 30_000,
        *map(
            with_detector,
            [
                "regex: '((a{1000}){1000}){1000}'",
                "regex: '" + "(" * 450 + "a" + ")" * 450 + "'",
                "regex: '(?:(?:x{99}){99}y{9,}){1,2}'",
                "regex: '\\L<x>a'",
                "regex: '[z-a]'",
                "{not: " * 200 + "{phrase: a}" + "}" * 200,
                "all: [" + "{phrase: a}," * 2000 + "]",
            ],
        ),
        *map(
            with_system,
            [
                "'{{ 9**9**9 }}'",
                "'{{ \"a\" * 99999999999 }}'",
                "'{{ " + "(" * 200 + "title" + ")" * 200 + " }}'",
                "'" + "{% if title %}" * 60 + "{% endif %}" * 60 + "'",
                "'{{ 1" + "9" * 5000 + " }}'",
                "'{{ title.__class__.__mro__ }}'",
                "'{% include \"/etc/passwd\" %}'",
                "'{{ range(99999) | list }}'",
            ],
        ),
    ],
    ids=lambda text: re.sub(r"\W+", "_", text[:20] if len(text) > 60_000 or not text.startswith("#") else text[-400:])[:30],
)
def test_bombs(text):
    assert attempt(text) is None


def test_good_files_load():
    assert all(map(attempt, FILES))
    assert attempt(with_system("'{{ title | upper }}{% if name == \"x\" %}y{% endif %}'"))
