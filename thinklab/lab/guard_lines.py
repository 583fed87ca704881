"""``show_guard``: a guard's warning in a Lab: one line, with cause and remedy folded."""

from __future__ import annotations

from html import escape

from thinklab.lab.results import box, in_notebook

GUARD = "guard: "
CAUSE = ". Likely cause: "
SEE = "lab.dashboard() marks the step"
DASHBOARD = "thinklab-dashboard"
"""Id of the place in the page where a dashboard is shown."""


def is_guard(text: str) -> bool:
    return text.startswith(GUARD)


def short(text: str) -> str:
    """An alarm in one line; any other text unchanged."""
    return text.split(CAUSE, 1)[0] if is_guard(text) else text


def show_guard(text: str) -> None:
    """Show one alarm."""
    if not in_notebook():
        print(f"{short(text)}. {SEE}; the cause and what to do are in alarms.jsonl", flush=True)
        return
    from IPython.display import HTML, display

    rest = text.split(CAUSE, 1)[1:]
    why = "".join(f"<p>Likely cause: {escape(part)}</p>" for part in rest)
    link = f'<a href="#{DASHBOARD}">dashboard</a>'
    see = f"<p><code>{SEE.split(' ')[0]}</code> {SEE.split(' ', 1)[1]}.</p>"
    display(HTML(box(f"<details><summary>{escape(short(text))} {link}</summary>{why}{see}</details>")))


def mark_dashboard() -> None:
    """Called where a dashboard is shown: the place in a notebook to which a guard's line links."""
    if in_notebook():
        from IPython.display import HTML, display

        display(HTML(f'<span id="{DASHBOARD}"></span>'))
