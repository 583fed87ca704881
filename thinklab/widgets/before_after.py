"""``side_by_side``: answers before and after to the same questions, from the probes' records."""

from __future__ import annotations

from collections.abc import Mapping

from thinklab.errors import RunError
from thinklab.reports import run_page
from thinklab.run.folder import RunFolder
from thinklab.widgets.html import Html


def side_by_side(runs: RunFolder | Mapping[str, RunFolder], shown: int = 8) -> Html:
    """The first ``shown`` probed questions with the answers before and after training, of one run or of several arms.

    Raises:
        RunError: if no run has been probed.
    """
    runs = {runs.path.name: runs} if isinstance(runs, RunFolder) else dict(runs)
    found = run_page.side_by_side(runs, shown)
    if not found:
        where = ", ".join(str(r.path) for r in runs.values())
        raise RunError(f"{where}: no probed answers yet; call lab.probe(), or `thinklab probe`")
    return Html(
        f"<div class='tl tl-pairs'>{found.replace('<h2>', '<h3>').replace('</h2>', '</h3>')}</div>", "pairs.css", "Side by side"
    )
