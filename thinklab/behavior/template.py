"""Jinja in a behavior's text fields, in a sandbox with a safe subset: ``check`` and ``render``.

Allowed: ``{{ variable }}``, a few filters without arguments, and ``{% if %}`` on variables and constants. No loops,
calls, attributes or arithmetic, so an untrusted text can neither execute code nor take long. Variables are strings and are
inserted verbatim; their content is never rendered again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from thinklab.errors import did_you_mean

MAX_TEMPLATE = 20_000
FILTERS = ("trim", "upper", "lower", "capitalize", "title")
ABOUT = ("name", "title", "description")
"""Variables of every text field: the behavior's own."""
TURN = (*ABOUT, "question", "response")
"""Variables of the user turn."""

_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Filter,
    nodes.If,
    nodes.Compare,
    nodes.Operand,
    nodes.Const,
    nodes.Not,
    nodes.And,
    nodes.Or,
)

_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
_environment.globals.clear()
_environment.tests.clear()
_environment.filters = {name: _environment.filters[name] for name in FILTERS}


class TemplateProblem(ValueError):
    """What is wrong with a template; ``pattern`` finds the offending text in it."""

    def __init__(self, message: str, pattern: str):
        super().__init__(message)
        self.pattern = pattern


def check(text: str, variables: Iterable[str]) -> None:
    """Whether ``text`` is a template over ``variables``.

    Raises:
        TemplateProblem: it is not; the message says what to write instead.
    """
    variables = tuple(variables)
    if len(text) > MAX_TEMPLATE:
        raise TemplateProblem(f"{len(text)} characters; the limit is {MAX_TEMPLATE}", r"\A")
    if "{" not in text:
        return
    # only deep nesting can still make the parser itself fail
    if text.count("{%") > 40 or any(
        inner.count("(") + inner.count("[") + inner.count("{") > 20 or len(inner) > 400
        for inner in re.findall(r"\{[{%](.*?)[%}]\}", text, re.DOTALL)
    ):
        raise TemplateProblem("too much template syntax; at most 40 {% … %}, each short", r"\{[{%]")
    try:
        tree = _environment.parse(text)
    except (TemplateError, RecursionError, ValueError, OverflowError) as err:
        line = getattr(err, "lineno", None)
        raise TemplateProblem(
            f"not a template: {getattr(err, 'message', None) or type(err).__name__}"
            f"{f' (line {line} of this text)' if line else ''}; "
            "write {{ '{{' }} for two literal braces",
            r"\{[{%#]",
        ) from None
    for node in _walk(tree):
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise TemplateProblem(
                f"no filter {node.name!r}{did_you_mean(node.name, FILTERS)}; there are {', '.join(FILTERS)}", re.escape(node.name)
            )
        if isinstance(node, nodes.Filter) and (node.args or node.kwargs or node.dyn_args or node.dyn_kwargs):
            raise TemplateProblem(f"the filter {node.name!r} takes no arguments here", re.escape(node.name))
        if not isinstance(node, _ALLOWED):
            shown = _written(text, node.lineno)
            raise TemplateProblem(
                f"{type(node).__name__} is not allowed in a text{f' ({shown})' if shown else ''}; only "
                f"variables, the filters {', '.join(FILTERS)}, and if",
                re.escape(shown) or r"\{[{%]",
            )
        if isinstance(node, nodes.Output) and any(
            isinstance(part, nodes.Const) and not isinstance(part.value, str) for part in node.nodes
        ):
            raise TemplateProblem(
                "{{ }} holds a variable, not a number; for literal braces write {{ '{{' }} and {{ '}}' }}", r"\{\{(?!\s*['\"])"
            )  # LaTeX such as \frac{{1}}{2} would silently lose its braces
        if isinstance(node, nodes.Name) and (node.ctx != "load" or node.name not in variables):
            raise TemplateProblem(
                f"there is no variable {node.name!r} here{did_you_mean(node.name, variables)}; there are {', '.join(variables)}",
                rf"(?<!\w){re.escape(node.name)}(?!\w)(?=[^{{}}]*[%}}]\}})",
            )


def _written(text: str, line: int) -> str:
    """The first piece of template syntax in that line (from 1) that is more than a variable."""
    lines = text.split("\n")
    pieces = re.findall(r"\{[{%].*?[%}]\}", lines[line - 1]) if line <= len(lines) else []
    return next((piece[:80] for piece in pieces if not re.fullmatch(r"\{\{-?\s*\w+\s*-?\}\}", piece)), "")


def _walk(node: nodes.Node):
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child)


@lru_cache(maxsize=512)
def _compiled(text: str) -> Template:
    return _environment.from_string(text)


def render(text: str, values: Mapping[str, str]) -> str:
    """``text`` with its variables filled in; ``check`` it first."""
    return _compiled(text).render({name: str(value) for name, value in values.items()}) if "{" in text else text
