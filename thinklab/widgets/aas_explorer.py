"""``AasExplorer``: c, floor, and advantage against a teacher token's gradient, with a batch's tokens as dots.

    AasExplorer(lab.run)       # or AasExplorer() without tokens

Sliders are plain ipywidgets; the curves are SVG that Python draws from ``thinklab.aas``, so the formula is not duplicated in
JavaScript. Not ``go.FigureWidget`` and not a figure inside an ``Output`` (both fail on Colab), and not plotly's own
sliders: they step through precomputed frames, and three independent sliders would need every combination.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import ipywidgets as w
import torch

from thinklab import aas
from thinklab.reports.quadrants import COLUMNS, Weighted, quadrants, rows
from thinklab.reports.token_spans import teacher_tokens
from thinklab.run.folder import RunFolder
from thinklab.widgets.freezing import Freezing
from thinklab.widgets.html import css, html

SHOWN = 400
"""Maximum number of dots: the rarest tokens, where the weight matters; the table counts all."""
LEAST = 1e-7
"""Left edge of the curves; rarer tokens are drawn there."""
Token = tuple[str, float, float]
"""(text, probability, advantage)"""


def weights(probability: Iterable[float], advantage: Iterable[float] | float, shaping: aas.Shaping) -> list[float]:
    """``aas.weight`` for plain numbers: k of each probability."""
    p = torch.tensor(list(probability), dtype=torch.float64)
    a = torch.tensor(advantage if isinstance(advantage, float | int) else list(advantage), dtype=torch.float64).expand_as(p)
    return aas.weight(p.clamp(min=1e-30).log(), a, shaping.c_max, shaping.a_max, shaping.floor).tolist()


def weighted(tokens: Iterable[Token], shaping: aas.Shaping) -> list[Weighted]:
    """``tokens``, each with its weight under ``shaping``."""
    tokens = list(tokens)
    given = weights([t[1] for t in tokens], [t[2] for t in tokens], shaping)
    return [(*token, k) for token, k in zip(tokens, given, strict=True)]


def aas_html(tokens: Iterable[Token] = (), shaping: aas.Shaping = aas.Shaping(), advantage: float = 1.5) -> str:
    """Two charts and the table of the quadrants, as HTML without a script."""
    from thinklab.widgets.svg import Chart

    tokens = list(tokens)
    grid = [10 ** (e / 40) for e in range(-280, 0)] + [0.97, 0.99, 1 - 1e-9]
    grid = sorted({*grid, shaping.floor, shaping.floor * (1 - 1e-9)})
    pos, neg = weights(grid, advantage, shaping), weights(grid, -advantage, shaping)
    live = [(p, k) for p, k in zip(grid, neg, strict=True) if p >= shaping.floor]
    top = max(1.2, 1.05 * max(k for _, k in live))
    weight = Chart("Weight k of a teacher token", "probability under the student", (LEAST, 1), (0, min(top, 3)))
    grad = Chart("Gradient of its logit: A · k · (1 − p)", weight.x_label, (LEAST, 1), (-1.3 * advantage, 1.3 * advantage))
    for chart in (weight, grad):
        chart.band(LEAST, shaping.floor, "below the floor: masked when A < 0")
    weight.line([(LEAST, 1), (1, 1)], "plain")
    weight.line(list(zip(grid, pos, strict=True)), "pos")
    weight.line([(LEAST, 0), (shaping.floor, 0)], "neg")
    weight.line(live, "neg")
    for sign, ks, kind in ((1, pos, "pos"), (-1, neg, "neg")):
        grad.line([(p, sign * advantage * (1 - p)) for p in grid], f"{kind} plain")
        pushed = [(p, sign * advantage * k * (1 - p)) for p, k in zip(grid, ks, strict=True)]
        for part in ([q for q in pushed if q[0] < shaping.floor], [q for q in pushed if q[0] >= shaping.floor]):
            grad.line(part, kind)
    dots = sorted((t for t in tokens if t[2] != 0), key=lambda t: t[1])[:SHOWN]
    for text, p, a, k in weighted(dots, shaping):
        tip, kind = f"{text!r}: p = {p:.3g}, A = {a:.2f}, k = {k:.3f}", "pos" if a > 0 else "neg"
        weight.dots([(max(p, LEAST), k, tip)], kind)
        grad.dots([(max(p, LEAST), a * k * (1 - p), tip)], kind)
    seen = f"<span class=dot>{len(dots)} of {len(tokens)} teacher tokens, the rarest first</span>" if dots else ""
    legend = (
        f"<p class=tl-legend><span class=pos>A = +{advantage:.2f}</span><span class=neg>A = −{advantage:.2f}</span>"
        f"<span class=plain>plain policy gradient</span>{seen}</p>"
    )
    return f"<div class='tl tl-aas'>{legend}<div class=tl-charts>{weight}{grad}</div>{_table(tokens, shaping)}</div>"


def _table(tokens: list[Token], shaping: aas.Shaping) -> str:
    found, _ = quadrants(weighted(tokens, shaping), shaping.floor)
    head = "".join(f"<th>{name}" for name in COLUMNS)
    body = "".join(f"<tr>{''.join(f'<td>{cell}' for cell in row)}</tr>" for row in rows(found, shaping.floor))
    return f"<div class=tl-scroll><table><thead><tr>{head}</thead><tbody>{body}</tbody></table></div>"


class AasExplorer(Freezing, w.VBox):
    """Sliders over ``aas_html``.

    Args:
        source: a run folder or lines of its ``tokens.jsonl``: their teacher tokens become dots. None: curves only.
        shaping: initial slider values; the run's own constants if ``source`` is a run.
        advantage: of the curves; the dots have their own.
    """

    def __init__(
        self,
        source: RunFolder | Iterable[Mapping[str, Any]] | None = None,
        shaping: aas.Shaping | None = None,
        advantage: float = 1.5,
    ):
        traces = source.read("tokens") if isinstance(source, RunFolder) else source or ()
        self.tokens = teacher_tokens(traces)
        if shaping is None:
            loss = (source.resolved().get("config") or {}).get("loss") or {} if isinstance(source, RunFolder) else {}
            shaping = aas.Shaping(**{name: loss[name] for name in ("c_max", "a_max", "floor") if name in loss})
        self.a_max = shaping.a_max
        layout, style = w.Layout(width="31%", min_width="230px"), {"description_width": "64px"}
        look = {"layout": layout, "style": style}
        log = {"base": 10, "step": 0.1, "readout_format": ".2g", **look}
        self.c = w.FloatLogSlider(shaping.c_max, min=-5, max=-0.3, description="c", **log)
        self.floor = w.FloatLogSlider(shaping.floor, min=-4, max=-0.1, description="floor", **log)
        self.advantage = w.FloatSlider(advantage, min=0.05, max=self.a_max, step=0.05, description="A", **look)
        self.view = w.HTML()
        for slider in (self.c, self.floor, self.advantage):
            slider.observe(lambda _: self.draw(), "value")
        self.draw()
        bar = w.HBox([self.c, self.floor, self.advantage], layout=w.Layout(flex_flow="row wrap"))
        rules = w.HTML(f"<style>{css('aas_explorer.css')}</style>")
        super().__init__([rules, bar, self.view], layout=w.Layout(max_width="1180px"))

    def draw(self) -> None:
        """Redraw; for inconsistent constants, show the error instead."""
        try:
            shaping = aas.Shaping(c_max=self.c.value, a_max=self.a_max, floor=self.floor.value)
        except ValueError as error:
            self.view.value = f"<div class='tl tl-aas'><p class=tl-bad>{escape(str(error))}</p></div>"
            return
        self.view.value = aas_html(self.tokens, shaping, self.advantage.value)

    def to_html(self) -> str:
        """The current state, without the sliders."""
        return html(self.view.value, "aas_explorer.css")
