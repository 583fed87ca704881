"""A behavior of a few tokens and a scripted teacher for it, for tests whose every token is slow."""

from __future__ import annotations

from pathlib import Path

SHORT_CHECK = Path(__file__).parents[1] / "unsloth" / "short-check.yaml"
RULE = f"{__name__}:comment"


def comment(request):
    """The teacher's reply."""
    return f"<opinion>incorrect</opinion><reason>I check: no.</reason><phrase>\\boxed{{{request.example.gold}}}</phrase>"
