"""``token_view``: guided rollouts token by token, colored by origin, probability, advantage, weight, or mask.

Static HTML, no script.

    token_view(lab.run)                      # the newest traced rollouts of a run
    token_view(trace, by="weight")           # one line of tokens.jsonl

The switch between colorings is a row of radio buttons and CSS alone, so it also works in a saved notebook.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from thinklab.errors import ConfigError, RunError, did_you_mean
from thinklab.reports.token_spans import spans
from thinklab.run.folder import RunFolder
from thinklab.widgets.html import Html

COLORINGS = {
    "origin": "The teacher's tokens are tinted, the student's are plain.",
    "probability": "The stronger the tint, the less likely the token was under the student when it was trained on.",
    "advantage": "Green: the answer did better than its group and is reinforced; red: worse, and suppressed. One per answer.",
    "weight": "The stronger the tint, the larger the weight of the teacher's token. Pale: hardly any gradient.",
    "masked": "Struck out: a masked teacher token (advantage below 0, probability below the floor), without any gradient.",
}
_number = itertools.count()


def token_view(source: RunFolder | Mapping[str, Any] | Iterable[Mapping[str, Any]], by: str = "origin", shown: int = 3) -> Html:
    """Traced rollouts, the newest ``shown`` of a run or all that are given.

    Args:
        source: a run folder, one line of its ``tokens.jsonl``, or several.
        by: the initial coloring: one of ``COLORINGS``.

    Raises:
        ConfigError: for an unknown coloring.
        RunError: for a run without traced tokens (it had no teacher, or has not started).
    """
    if by not in COLORINGS:
        raise ConfigError(f"unknown coloring {by!r}{did_you_mean(by, COLORINGS)}; one of {', '.join(COLORINGS)}")
    traces: list[Mapping[str, Any]]
    if isinstance(source, RunFolder):
        traces = list(deque(source.read("tokens"), maxlen=shown))
        if not traces:
            raise RunError(f"{source.path} has no traced tokens yet: guided rollouts are traced when they are trained on")
    else:
        traces = [source] if isinstance(source, Mapping) else list(source)
    name = f"tl-tokens-{next(_number)}"
    switch = "".join(
        f"<label><input type=radio name={name} value={key}{' checked' if key == by else ''}>{key}</label>" for key in COLORINGS
    )
    legend = "".join(f"<p class='tl-soft tl-{key}'>{escape(text)}</p>" for key, text in COLORINGS.items())
    return Html(
        f"<div class='tl tl-tokens'><div class=tl-switch role=radiogroup aria-label=coloring>{switch}</div>{legend}"
        f"{''.join(map(_trace, traces))}</div>",
        "tokens.css",
        "Tokens",
    )


def _trace(trace: Mapping[str, Any]) -> str:
    weights = [w for teacher, w in zip(trace["teacher"], trace["weight"], strict=True) if teacher]
    masked = sum(w == 0 for w in weights) if trace["advantage"] < 0 else 0
    counts = f"{len(weights)} teacher tokens, {sum(0 < w < 0.1 for w in weights)} with a weight below 0.1, {masked} masked"
    return (
        f"<p class=tl-label>rollout {escape(str(trace['rollout']))}, step {trace['step']}, "
        f"advantage {trace['advantage']:.2f}: {counts}</p><p class=tl-run>{spans(trace)}</p>"
    )
