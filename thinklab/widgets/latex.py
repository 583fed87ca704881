"""``math``: LaTeX as MathML nodes (by latex2mathml), which browsers render natively."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from xml.etree.ElementTree import Element

LONGEST = 4_000
TAGS = frozenset(
    "math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle mpadded "
    "mphantom mmultiscripts mprescripts none".split()
)
ATTRIBUTES = frozenset(
    "display mathvariant stretchy fence form separator accent accentunder columnalign rowspacing columnspacing linethickness "
    "displaystyle scriptlevel width height depth lspace rspace minsize maxsize movablelimits largeop".split()
)
_ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|align|split|gathered|gather|equation|eqnarray|alignat)\*?\}")


def math(source: str, display: bool) -> list[Any] | None:
    """A formula as a node of ``rich_text``; None if it cannot be parsed, so that its source is shown.

    Args:
        display: on a line of its own.
    """
    if len(source) > LONGEST:
        return None
    columns = max((row.count("&") for row in source.split(r"\\")), default=0) + 1
    wide = _ALIGNED.sub(lambda m: rf"\{m[1]}{{array}}" + (f"{{{('rl' * columns)[:columns]}}}" if m[1] == "begin" else ""), source)
    try:
        from latex2mathml.converter import convert_to_element

        made = _node(convert_to_element(wide, display="block" if display else "inline"))
    except Exception:  # formulas raise many error types, including IndexError; showing the source is always right
        return None
    return [made[0], {**made[1], "title": source.strip()}, made[2]]


def _node(element: Element) -> list[Any]:
    """The element with allowed attributes only; an unknown element keeps its contents. Boxes use a CSS class, because only one
    browser renders ``menclose``."""
    tag = element.tag.rpartition("}")[2]
    children: list[Any] = [_node(child) for child in element]
    if element.text and element.text.strip():
        children.insert(0, unescape(element.text))
    if tag == "menclose":
        box = {"box": "tl-boxed"}.get(element.get("notation", ""), "tl-struck")
        return ["mrow", {"class": box}, children]
    kept = {name: value for name, value in element.attrib.items() if name in ATTRIBUTES}
    return [tag if tag in TAGS else "mrow", kept, children]
