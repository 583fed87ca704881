"""Parts of every HTML page: ``write_page``, ``figure``, ``table``, ``rate``, plotly.js embedded."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from thinklab.probing.stats import Rate
from thinklab.reports.plots import dark_colors

PAGE = Path(__file__).parent / "report_page.html"


def write_page(out: Path, title: str, parts: Sequence[str]) -> Path:
    """Write ``parts`` (HTML, already escaped) as one page; returns ``out``."""
    text = PAGE.read_text("utf-8")
    text = (
        text.replace("__TITLE__", escape(title))
        .replace("__DARK_COLORS__", json.dumps(dark_colors()))
        .replace("__PLOTLY__", _plotly())
        .replace("__BODY__", "\n".join(p for p in parts if p))
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, "utf-8")
    return out


def figure(fig: go.Figure) -> str:
    """A figure that the page draws when opened."""
    # "</" inside a script element would end it; JSON reads "<\/" as the same string.
    data = fig.to_json().replace("</", "<\\/")
    return f"<div class=figure><script type='application/json'>{data}</script></div>"


def figures(figs: Sequence[go.Figure]) -> str:
    return "<div class=figures>" + "".join(map(figure, figs)) + "</div>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML, already escaped."""
    body = "".join("<tr>" + "".join(f"<td>{c}" for c in row) + "</tr>" for row in rows)
    return (
        f"<div class=scroll><table class='{kind}'><thead><tr>{''.join(f'<th>{h}' for h in head)}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def rate(r: Rate) -> str:
    if r.total and r.count == 0:
        return f"<b>0</b> <small>(&lt; {r.upper_bound:.3f})</small>"
    return f"<b>{r.value:.3f}</b> <small>[{r.low:.3f}, {r.high:.3f}]</small>"


def answer_list(named: Iterable[tuple[str, Sequence[Sequence[Any]]]], largest: int, where: str) -> tuple[str, int, int]:
    """A list of answers with filters, and how many are in it and left out of it.

    Args:
        named: by name, rows of question, gold answer, answer, 1 if right, and 1 if it shows a behavior.
        largest: characters of the whole list; what would exceed it is left out.
        where: the files in which all of them are.
    """
    found, size, left_out = {}, 0, 0
    for name, rows in named:
        length = sum(len(row[0]) + len(row[2]) for row in rows)
        if size + length > largest:
            left_out += len(rows)
            continue
        size += length
        found[name] = rows
    shown = (
        f"<div id=samples data-packed='{packed(found)}'><noscript>This list needs JavaScript; the same answers are in "
        f"{where}.</noscript></div>"
    )
    return shown, sum(map(len, found.values())), left_out


def packed(data: Any) -> str:
    """``data`` as JSON, gzipped, base64: what ``unpack`` in the page's script reads."""
    return base64.b64encode(gzip.compress(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"), 9, mtime=0)).decode()


@lru_cache
def _plotly() -> str:
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
