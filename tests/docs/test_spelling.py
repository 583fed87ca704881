"""One spelling (American) and the field's terms: words and phrases that came up in the text and must not come back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

BRITISH = (
    r"behaviour\w*|colour\w*|favour\w*|honour\w*|harbour\w*|neighbour\w*|labour\w*|learnt|whilst|amongst|upwards|afterwards|"
    r"judgement|grey\w*|catalogue|licence|cancell(?:ed|ing)|labell(?:ed|ing)|travell(?:ed|ing)|modell(?:ed|ing)|centre\w*|analys(?:e|ed|ing)|"
    r"(?:organ|recogn|normal|initial|optim|summar|minim|maxim|general|special|token|serial|rational|quant|random|util)is(?:e|ed|es|ing|ation)"
)
PHRASES = (
    "how to take a trained student away",
    "each line is whole or absent",
    "whole or absent",
    "the batch that waits",
    "was begun with another",
    "call it again to go on",
    "a form which nothing pays for is learnt as an act",
    "when to call a run sick",
    "half its own",
    "lie beside it",
    "begun",
    "sick",
    "as it was",
    "hands on",
    "and the like",
    "of its own accord",
    "asked of",
)
"""Riddles, archaic words, and personified code, in lower case; whole words."""

ALLOWED = {
    "thinklab/probing/retention.py": ("harbour", "begun", "as it was"),  # fixed texts, on which KL values were measured
    "thinklab/teachers/openai_batches.py": ("cancelling", "cancelled"),  # states as OpenAI's API spells them
    "thinklab/tasks/_units.py": ("centre", "centimetre"),  # units as students write them
    "CHANGELOG.md": (),
}
SKIPPED = {"tests/docs/test_spelling.py"}
WORD = re.compile(rf"(?<![\w/.-])(?:{BRITISH}|{'|'.join(re.escape(p) for p in PHRASES)})(?![\w-])", re.IGNORECASE)


def files() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    for folder, kinds in (
        ("docs", (".md",)),
        ("notebooks", (".ipynb",)),
        ("behaviors", (".yaml",)),
        ("examples", (".yaml", ".py")),
        ("thinklab", (".py", ".js", ".html", ".css", ".yaml")),
        ("tools", (".py",)),
    ):
        found += [f for f in sorted((ROOT / folder).rglob("*")) if f.suffix in kinds]
    return found


def text_of(path: Path) -> str:
    if path.suffix == ".ipynb":
        return "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"])
    return path.read_text("utf-8")


def wrong(text: str, allowed: tuple[str, ...] = ()) -> list[str]:
    """The words of ``text`` that have another spelling or wording here; a line break counts as a space."""
    text = re.sub(r"\s*\n\s*(?:#:?|//|\*|[rf]*\")?\s*", " ", text)
    text = re.sub(r"https?://\S+", "", text)
    return [m.group() for m in WORD.finditer(text) if m.group().lower() not in allowed]


def test_it_finds_what_it_looks_for():
    assert wrong("The behaviour was\nbegun with  it") == ["behaviour", "begun"]
    assert wrong("# a batch, as\n# it was") == ["as it was"]
    assert wrong("behavior, started, gray") == []


@pytest.mark.parametrize("path", files(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_american_spelling_and_plain_words(path):
    found = wrong(text_of(path), ALLOWED.get(path.relative_to(ROOT).as_posix(), ()))
    assert not found, f"{path}: {found}"
