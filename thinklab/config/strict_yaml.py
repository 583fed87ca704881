"""A strict YAML parser, text -> ``Node`` with line and column: numbers, escapes, duplicate keys, limits.

Stricter than YAML itself, because a behavior file is written by hand and passed around: no duplicate keys, no anchors
or aliases (so no "billion laughs"), no tags (so no objects), one document, words that YAML 1.1 reads as booleans
(``no``, ``on``, ``y`` ...) or for numbers (``1:30``, ``010``, ``1_000``) must be quoted, and LaTeX between double quotes,
where ``"\\boxed"`` is a backspace and ``oxed``, is an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML, nodes
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent
from ruamel.yaml.reader import ReaderError

from thinklab.errors import BehaviorError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 24
MAX_VALUES = 5000
"""Keys, scalars and lists in one file; the longest shipped file has under 300."""

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORDS_OF_1_1 = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_ESCAPE = re.compile(
    r"\\(?:[abfve0NLP_]|r(?=[a-z])|t(?=(?:ext\w*|imes|heta|an|au|frac|herefore|o|riangle)\b)"
    r"|n(?=(?:eq|abla|ot|otin|eg)\b)|(.))",
    re.DOTALL,
)
"""In double quotes: an escape that is never intended (group 1 is None), or any other."""
_NUMBERS_OF_1_1 = re.compile(r"[-+]?([0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?|0[0-9]+|[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?)")


@dataclass(frozen=True)
class Place:
    """A position: lines and columns count from 1, as in editors."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Node:
    """A value with its position. ``value`` is a scalar, a list of nodes, or a dict from str to nodes."""

    value: Any
    place: Place
    key_place: Place | None = None
    """The position of the key, for values in a mapping."""
    source: str = ""
    """The scalar as written in the file, to find a word inside it."""

    def plain(self) -> Any:
        """The value as plain Python types."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def at(self, path: tuple[str | int, ...]) -> Node | None:
        """The node at ``path``, or None."""
        node: Node | None = self
        for part in path:
            if node is None:
                return None
            if isinstance(node.value, dict) and isinstance(part, str):
                node = node.value.get(part)
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            else:
                return None
        return node

    def nearest(self, path: tuple[str | int, ...]) -> Node:
        """The node at ``path``, or the innermost one that contains it."""
        while path and self.at(path) is None:
            path = path[:-1]
        return self.at(path) or self

    def place_of(self, pattern: str) -> Place:
        """The position where ``pattern`` (a regular expression) first matches in this scalar; its start otherwise."""
        found = re.search(pattern, self.source)
        if not found:
            return self.place
        before = self.source[: found.start()]
        lines = before.count("\n")
        column = found.start() - before.rfind("\n") if lines else self.place.column + found.start()
        return Place(self.place.file, self.place.line + lines, column)


class FileError(BehaviorError):
    """A ``BehaviorError`` with its parts, for editors: ``place`` and ``text`` (the message without the place)."""

    def __init__(self, place: Place, text: str):
        super().__init__(f"{place}: {text}")
        self.place, self.text = place, text


def clip(text: object, longest: int = 60) -> str:
    """``repr`` of a text (or of a node's content), truncated for messages."""
    shown = repr(text.plain() if isinstance(text, Node) else text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def parse(text: str, file: str, kind: str = "behavior") -> Node:
    """The document in ``text``; ``kind`` names the expected content in messages.

    Raises:
        FileError: anything that is not one plain YAML document of at most ``MAX_BYTES``; the message starts with
            ``file:line:column``.
    """
    start = Place(file, 1, 1)
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise FileError(start, f"the file has {size} bytes, the limit is {MAX_BYTES}; make it shorter")
    text = text.removeprefix("\ufeff")
    try:
        _survey(text, file)
        documents = list(YAML(typ="safe", pure=True).compose_all(text))
    except MarkedYAMLError as err:
        raise _syntax_error(err, text, file) from None
    except ReaderError as err:
        line, column = text.count("\n", 0, err.position), err.position - text.rfind("\n", 0, err.position)
        raise FileError(
            Place(file, line + 1, column),
            f"the character U+{ord(text[err.position]):04X} is not allowed in a text file; remove it",
        ) from None
    except RecursionError:
        raise FileError(start, f"nested too deeply; at most {MAX_DEPTH} levels") from None
    except FileError:
        raise
    except (YAMLError, ValueError, TypeError, AttributeError, IndexError, KeyError, AssertionError) as err:
        # the parser raises plain exceptions on some malformed input (bad escapes, odd control characters)
        raise FileError(start, f"not valid YAML: {_one_line(err) or type(err).__name__}") from None
    documents = [document for document in documents if document is not None]
    if not documents:
        hint = "; `thinklab behaviors new NAME` writes one to start from" if kind == "behavior" else ""
        raise FileError(start, f"the file is empty{hint}")
    if len(documents) > 1:
        raise FileError(_place(documents[1], file), f"a second YAML document; write one {kind} per file")
    return _node(documents[0], file, text, 0)


_HINTS = {  # part of the parser's message -> what to do
    "'\\t' that cannot start": "indent with spaces, not with tabs",
    "that cannot start any token": "quote a text that begins with this character",
    "mapping values are not allowed here": "quote a text that contains ': ', or indent this line like those around it",
    "unknown escape character": "between double quotes a backslash is written twice; use single quotes for LaTeX",
    "could not find expected ':'": "write `key: value`, or indent a text of several lines under its key",
    "but found": "indent this line like those around it; a text that begins with a quotation mark ends with it, and one that "
    "begins with a brace or bracket is quoted",
    "expected ',' or": "quote a text with commas, brackets or braces in it, or close the bracket",
    "block sequence entries are not allowed": "begin the list on a line of its own, or quote the text",
}


def _syntax_error(err: MarkedYAMLError, text: str, file: str) -> FileError:
    """The parser's error in one line, with the text at that position and a hint."""
    problem, mark = _one_line(err.problem or err.context or "cannot be read"), err.problem_mark or err.context_mark
    hint = next((hint for part, hint in _HINTS.items() if part in problem), "")
    if "unexpected end of stream" in problem and "quoted scalar" in str(err.context) and err.context_mark:
        problem, mark, hint = "a quotation mark opens here and is never closed", err.context_mark, "close it"
    if mark is None:
        return FileError(Place(file, 1, 1), f"not valid YAML: {problem}")
    lines = text.split("\n")
    shown = lines[mark.line].strip() if mark.line < len(lines) else ""
    if re.search(r"[:-] \{[{%]", shown):
        hint = "quote a text that begins with {{"
    return FileError(
        Place(file, mark.line + 1, mark.column + 1),
        f"not valid YAML: {problem}{f', in {clip(shown)}' if shown else ''}{f'; {hint}' if hint else ''}",
    )


def _one_line(problem: object) -> str:
    return " ".join(str(problem).split())[:200]


def _place(node: nodes.Node, file: str) -> Place:
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _survey(text: str, file: str) -> None:
    """Reject unsafe documents before composing them. Events are checked one by one, so a cyclic, exponential, or very deep
    document (which takes the parser quadratic time) is rejected at the first excess event."""
    depth = values = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        place = Place(file, event.start_mark.line + 1, event.start_mark.column + 1)
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        values += isinstance(event, NodeEvent)
        if depth > MAX_DEPTH:
            raise FileError(place, f"nested too deeply; at most {MAX_DEPTH} levels")
        if values > MAX_VALUES:
            raise FileError(place, f"more than {MAX_VALUES} keys and values; split the file with `extends`")
        anchor = getattr(event, "anchor", None)
        if anchor:
            name = f"*{anchor}" if isinstance(event, AliasEvent) else f"&{anchor}"
            raise FileError(
                place,
                f"{name[:60]!r}: anchors and aliases are not supported; repeat the text or use "
                "`extends`, and quote a text that begins with & or *",
            )


def _node(node: nodes.Node, file: str, text: str, depth: int, key_place: Place | None = None) -> Node:
    place = _place(node, file)
    if depth > MAX_DEPTH:
        raise FileError(place, f"nested too deeply; at most {MAX_DEPTH} levels")
    # an explicit tag precedes the value in the text; the resolver's own tags do not occur there
    if text.startswith("!", node.start_mark.index):
        tag = text[node.start_mark.index :].split(maxsplit=1)[0]
        raise FileError(place, f"{clip(tag)}: YAML tags (!...) are not supported; quote a text that begins with '!'")
    if isinstance(node, nodes.MappingNode):
        return Node(_mapping(node, file, text, depth), place, key_place)
    if isinstance(node, nodes.SequenceNode):
        return Node([_node(item, file, text, depth + 1) for item in node.value], place, key_place)
    assert isinstance(node, nodes.ScalarNode), "a YAML node is a mapping, a sequence, or a scalar"
    source = text[node.start_mark.index : node.end_mark.index]
    if node.style == '"':
        _check_escapes(node, source, place)
    value = _scalar(node, place) if node.style in (None, "") else node.value
    return Node(value, place, key_place, source)


def _check_escapes(node: nodes.ScalarNode, source: str, place: Place) -> None:
    """``"\\boxed"`` is valid YAML for a backspace and ``oxed``: the reader would see an answer without a box."""
    for escape in _ESCAPE.finditer(source):
        if escape[1] is None:
            word = re.match(r"\\\w+", source[escape.start() :])
            found = word.group() if word else escape.group()
            raise FileError(
                Node(node.value, place, None, source).place_of(re.escape(found)),
                f"{found[:40]} between double quotes is a control character, not LaTeX; write the text between "
                f"single quotes, or \\{found[:40]}",
            )
    if odd := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", node.value):
        raise FileError(place, f"the text has a control character (U+{ord(odd.group()):04X}); remove it")


def _mapping(node: nodes.MappingNode, file: str, text: str, depth: int) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for key, value in node.value:
        place = _place(key, file)
        if not isinstance(key, nodes.ScalarNode) or text.startswith("!", key.start_mark.index):
            shown = text[key.start_mark.index :].split("\n", 1)[0]
            hint = "; quote a text that begins with {{" if shown.startswith("{") else ""
            raise FileError(place, f"a key must be a plain word, not {clip(shown)}{hint}")
        if key.value in found:
            first = found[key.value].key_place
            assert first is not None, "every value of a mapping has the position of its key"
            raise FileError(place, f"the key {clip(key.value)} is written twice (first in line {first.line}); keep one")
        found[key.value] = _node(value, file, text, depth + 1, place)
    return found


def _scalar(node: nodes.ScalarNode, place: Place) -> Any:
    text = node.value
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if (boolean := _WORDS_OF_1_1.get(text.lower())) and text in (text.lower(), text.upper(), text.capitalize()):
        raise FileError(
            place, f'{text} may be a word or {boolean}, depending on the YAML reader; write "{text}" for the word, or {boolean}'
        )
    if _NUMBERS_OF_1_1.fullmatch(text):
        raise FileError(
            place, f'{clip(text)} may be a text or a number, depending on who reads it; write "{text[:40]}" for the text'
        )
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        if math.isinf(value := float(text)):
            raise FileError(place, f"{clip(text)} is too large for a number; write a text in quotation marks")
        return value
    return text
