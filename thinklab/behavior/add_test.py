"""``with_test``: adds a text to the ``tests:`` of a behavior file and leaves every other byte as it is."""

from __future__ import annotations

import json
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from thinklab.behavior import loader
from thinklab.errors import BehaviorError

LONGEST = 20_000


def with_test(source: str, text: str, shows: bool, path: Path) -> str:
    """``source``, the content of a behavior file, with ``text`` under ``tests.shows`` or ``tests.lacks``.

    Args:
        path: where the file is, for ``extends`` and for errors.

    Raises:
        BehaviorError: the file cannot be used as it is, it has the text among its tests already, or there is no room for it.
    """
    before = loader.read_text(source, str(path)).tests.all_texts
    key = "shows" if shows else "lacks"
    for test in before:
        if test.text == text:
            there = "shows" if test.shows else "lacks"
            raise BehaviorError(
                f"this answer is among the tests already, as one that {there} the behavior"
                + ("" if test.shows is shows else "; change it there")
            )
    if len(text) > LONGEST:
        raise BehaviorError(f"this answer has {len(text)} characters; a test may have {LONGEST}")
    made = _insert(source, key, _quoted(text))
    try:
        after = loader.read_text(made, str(path)).tests.all_texts
    except BehaviorError as error:
        raise BehaviorError(
            f"the answer cannot be written into the tests by itself ({error}); write it under tests.{key}"
        ) from error
    if len(after) != len(before) + 1 or not any(t.text == text and t.shows is shows for t in after):
        raise BehaviorError(
            f"the answer cannot be written into the tests by itself: they come from the file that this one extends. Copy its "
            f"tests into this file first, or write the answer under tests.{key}"
        )
    return made


def _insert(source: str, key: str, item: str) -> str:
    try:
        root = YAML(typ="safe", pure=True).compose(source)
    except YAMLError as error:
        raise BehaviorError(f"not valid YAML: {getattr(error, 'problem', None) or error}") from error
    tests = _value(root, "tests")
    if tests is None or _empty(tests):
        begin = source.rstrip("\n") + "\n" if tests is None else source[: tests.start_mark.index].rstrip() + "\n"
        rest = "" if tests is None else source[tests.end_mark.index :].lstrip(" ")
        head = "\ntests:\n" if tests is None else ""
        return f"{begin}{head}  {key}:\n    - {item}\n{rest.removeprefix(chr(10))}"
    found = _value(tests, key)
    if isinstance(found, SequenceNode) and found.value:
        return _after_last(source, found, item, "- ")
    if found is not None:  # [] or nothing
        end = found.end_mark.index if isinstance(found, SequenceNode) else found.start_mark.index
        return f"{source[: found.start_mark.index].rstrip(' ')} [{item}]{source[end:]}"
    assert isinstance(tests, MappingNode), "the file was read before"
    return _after_last(source, tests, f"{key}: [{item}]", "")


def _after_last(source: str, node: SequenceNode | MappingNode, item: str, dash: str) -> str:
    """``item`` behind the last one of a list or mapping that has some."""
    last: Node = node.value[-1][1] if isinstance(node, MappingNode) else node.value[-1]
    if node.flow_style:
        at = last.end_mark.index
        return f"{source[:at]}, {item}{source[at:]}"
    end = len(source[: last.end_mark.index].rstrip())
    line_end = source.find("\n", end)
    at = len(source) if line_end < 0 else line_end
    return f"{source[:at]}\n{' ' * node.start_mark.column}{dash}{item}{source[at:]}"


def _value(node: Node | None, key: str) -> Node | None:
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if isinstance(name, ScalarNode) and name.value == key:
                return value
    return None


def _empty(node: Node) -> bool:
    return not node.value if isinstance(node, MappingNode) else isinstance(node, ScalarNode)


def _quoted(text: str) -> str:
    """One line of YAML that is this text wherever it stands."""
    plain = text.isprintable() and text
    return (
        "'" + text.replace("'", "''") + "'" if plain else json.dumps(text, ensure_ascii=not text.replace("\n", "").isprintable())
    )
