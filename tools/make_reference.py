"""Write docs/reference/ from the config's models, the teachers' signatures, and the command line; and the plans in docs/recipes.md.

python tools/make_reference.py

The pages are committed, not built with the site: they can be read in the repository and with the sources, a change of a key shows
in the review, and a test fails while a page is out of date.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from thinklab.cli.app import app
from thinklab.cli.plan import lines
from thinklab.config.experiment import Experiment
from thinklab.config.load import load_config
from thinklab.config.profiles import PROFILES
from thinklab.experiment.forecast import forecast
from thinklab.experiment.memory_plan import at_least
from thinklab.teachers import BUILT_IN, teacher_factory
from thinklab.teachers.options import RemoteOptions
from thinklab.teachers.prices import PICO, dollars

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BY = "<!-- Written by tools/make_reference.py: change the docstrings in the code instead. -->\n\n"
VALUES = {int: "INTEGER", float: "NUMBER", Path: "PATH", str: "TEXT"}
SIGNS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


# ---- texts in tables --------------------------------------------------------------------------------------------------------


def cell(text: str) -> str:
    """A docstring's ``text`` for one cell of a table: its code, its links, and YAML's word for None."""
    text = " ".join(text.split()).replace("``", "`").replace("|", "\\|")
    text = re.sub(r"\bdocs/([\w-]+)\.md", r"[\1](../\1.md)", re.sub(r"\bNone\b", "`null`", text))
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+ ", text) else text


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def shown(value: Any) -> str:
    """A value as YAML has it."""
    return f"`{json.dumps(value, ensure_ascii=False, default=str).strip(chr(34))}`" if value != "" else "empty"


def type_text(kind: Any) -> str:
    """An annotation in words."""
    if get_origin(kind) is Literal:
        return ", ".join(shown(choice) for choice in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        parts = [type_text(part) for part in get_args(kind) if part is not NoneType]
        return " or ".join((*dict.fromkeys(parts), *(["`null`"] if NoneType in get_args(kind) else [])))
    if get_origin(kind) in (list, tuple):
        return f"list of {' and '.join(dict.fromkeys(type_text(part) for part in get_args(kind)))}"
    if get_origin(kind) is dict or kind is dict:
        return "mapping"
    if hasattr(kind, "__metadata__"):
        return type_text(get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "section"
    return {str: "text", int: "integer", float: "number", bool: "`true`, `false`", Path: "path"}.get(kind, "any")


# ---- models -----------------------------------------------------------------------------------------------------------------


@cache
def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """The text below each key of ``model`` in its source; keys without one are missing."""
    found = {}
    for kind in reversed([c for c in model.__mro__ if issubclass(c, BaseModel) and c is not BaseModel]):
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body
        for key, text in itertools.pairwise(body):
            if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(key.target)] = str(text.value.value)
    return found


def models_in(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from models_in(part)


def sections(model: type[BaseModel] = Experiment, at: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section below ``model`` with its dotted name, a section before those inside it."""
    yield at, model
    for name, key in model.model_fields.items():
        for inner in models_in(key.annotation):
            yield from sections(inner, f"{at}.{name}" if at else name)


def limits(key: FieldInfo) -> str:
    said = [f"{word} {getattr(mark, sign):g}" for mark in key.metadata for sign, word in SIGNS.items() if hasattr(mark, sign)]
    return "; " + " and ".join(said) if said else ""


def default_text(key: FieldInfo) -> str:
    if key.default_factory is not None:
        return shown(key.default_factory())
    if key.default is PydanticUndefined:
        return "required"
    return "see there" if isinstance(key.default, BaseModel) else shown(key.default)


def set_by(path: str) -> str:
    """The profiles that set the key at ``path``, and to what."""
    values: dict[str, list[str]] = {}
    for name, fragment in PROFILES.items():
        node: Any = fragment
        for part in path.split("."):
            node = node.get(part, PydanticUndefined) if isinstance(node, dict) else PydanticUndefined
        if node is not PydanticUndefined and not isinstance(node, dict):
            values.setdefault(shown(node), []).append(name)
    return "; ".join(f"{value} by {', '.join(names)}" for value, names in values.items())


def key_rows(model: type[BaseModel], at: str) -> list[tuple[str, ...]]:
    rows = []
    for name, key in model.model_fields.items():
        path = f"{at}.{name}" if at else name
        inner = list(models_in(key.annotation))
        kind = f"[section](#{path.replace('.', '')})" if inner else type_text(key.annotation) + limits(key)
        if inner and get_origin(key.annotation) is list:
            kind = f"list of [sections](#{path.replace('.', '')})"
        if inner and NoneType in get_args(key.annotation):
            kind += " or `null`"
        profiles = set_by(path)
        text = cell(descriptions(model).get(name, "")) + (f" Profiles: {profiles}." if profiles else "")
        rows.append((f"`{name}`", kind, default_text(key), text))
    return rows


def config_page() -> str:
    """Every key of a config."""
    text = (
        "# Config keys\n\n"
        + BY
        + "Every key of an experiment's YAML file (`thinklab train CONFIG`). A key is written with its section, such as "
        "`train.steps=40`, on the command line and in `Lab(overrides=...)`. Unknown keys are errors. *Profiles* names the profiles "
        "(`--profile`) that set another default; what the file sets wins over them.\n\n"
    )
    for at, model in sections():
        about = cell(re.sub(r"\s+See ``thinklab/.*?``\.|; see ``thinklab/.*?``", "", inspect.getdoc(model) or ""))
        text += (f"## {at}\n\n{about}\n\n" if at else "") + table(("key", "type", "default", "meaning"), key_rows(model, at))
    return text.rstrip() + "\n"


# ---- teachers -----------------------------------------------------------------------------------------------------------------


def arguments(docstring: str) -> dict[str, str]:
    """The texts under ``Args:``; a line may speak of several names: ``rows, bits: ...``."""
    block = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", inspect.cleandoc(docstring) + "\n", re.MULTILINE)
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", textwrap.dedent(block[1]).strip()) if block else []:
        names, _, text = entry.partition(":")
        found |= {name.strip(): text for name in names.split(",")}
    return found


def teacher_rows(backend: str) -> list[tuple[str, ...]]:
    factory = teacher_factory(backend)
    said = arguments((factory.__doc__ or "") + "") or arguments(getattr(factory.__init__, "__doc__", "") or "")
    rows = []
    hints = inspect.get_annotations(factory.__init__ if inspect.isclass(factory) else factory, eval_str=False)
    scope = vars(inspect.getmodule(factory))
    for name, parameter in inspect.signature(factory).parameters.items():
        if name in ("student", "self") or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        try:
            kind = type_text(eval(str(hints[name]), scope))
        except NameError:  # imported for the type checker only
            kind = "any"
        default = "required" if parameter.default is parameter.empty else shown(parameter.default)
        rows.append((f"`{name}`", kind.replace("|", "\\|"), default, cell(said.get(name, ""))))
    return rows


def teachers_page() -> str:
    """Every option of every built-in teacher."""
    text = (
        "# Teacher options\n\n"
        + BY
        + "The keys under `teacher:` besides `backend`, which are also those of `-o KEY=VALUE` of `thinklab guide` and of "
        "`load_teacher(backend, ...)`. Which backend to choose: [Choose a teacher](../choose-a-teacher.md).\n\n"
    )
    for backend in BUILT_IN:
        factory = teacher_factory(backend)
        remote = any(p.kind is p.VAR_KEYWORD and p.name == "options" for p in inspect.signature(factory).parameters.values())
        first = cell(re.split(r"\n\s*\n", inspect.getdoc(factory) or "")[0])
        also = "Also takes every [option of the network teachers](#network-teachers).\n\n" if remote else ""
        text += f"## {backend}\n\n{first}\n\n" + table(("option", "type", "default", "meaning"), teacher_rows(backend)) + also
    text += f"## Network teachers\n\n{cell(inspect.getdoc(RemoteOptions) or '')}\n\n"
    return (text + table(("option", "type", "default", "meaning"), key_rows(RemoteOptions, ""))).rstrip() + "\n"


# ---- command line -------------------------------------------------------------------------------------------------------------


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, group
    for inner, command in getattr(group, "commands", {}).items():
        if not command.hidden:
            yield from commands(command, f"{name} {inner}")


def parameter_rows(command: Any) -> Iterator[tuple[str, ...]]:
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        kind = parameter.type_descriptor.annotation
        choices = [choice.value for choice in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []
        default = getattr(parameter.default, "value", parameter.default)
        default = str(default) if isinstance(default, Path) else default
        shows = not parameter.required and default is not False and default not in (None, (), [], "")
        name = ", ".join((*parameter.opts, *parameter.secondary_opts))
        if parameter.param_type_name == "argument":
            name = parameter.name.upper()
        elif not parameter.is_flag:
            name += f" {VALUES.get(kind, 'VALUE')}"
        text = cell(parameter.help or "") + (f" One of {', '.join(map(shown, choices))}." if choices else "")
        text += " Repeatable." if parameter.param_type_name == "option" and get_origin(kind) is list else ""
        yield f"`{name}`", "required" if parameter.required else shown(default) if shows else "", text


def cli_page() -> str:
    """Every command with its arguments and options."""
    root = typer.main.get_command(app)
    text = (
        "# Command line\n\n"
        + BY
        + "`thinklab COMMAND --help` prints the same. A config's keys may follow its name as `dotted.key=value`: "
        "[Config keys](config.md).\n\n"
    )
    for name, command in commands(root, "thinklab"):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        words = [a.name.upper() if a.required else f"[{a.name.upper()}]" for a in arguments]
        words += ["[OPTIONS]"] if len(command.params) > len(arguments) else []
        words += ["COMMAND ..."] if getattr(command, "commands", None) else []
        text += f"## {name}\n\n```text\n{' '.join((name, *words))}\n```\n\n{inspect.cleandoc(command.help or '')}\n\n"
        if rows := list(parameter_rows(command)):
            text += table(("argument or option", "default", "meaning"), rows)
    return text.rstrip() + "\n"


# ---- recipes ------------------------------------------------------------------------------------------------------------------

CARDS = {"t4": "T4, 15 GB", "16gb": "16 GB", "24gb": "24 GB", "80gb": "80 GB"}
PLAN = re.compile(r"(<!-- plan: ([\w-]+) -->\n).*?(<!-- end of the plan -->)", re.DOTALL)


def plan_text(name: str) -> str:
    """The commands of one recipe for each card, with memory and money, and its plan on a 24 GB card."""
    rows, file = [], f"examples/recipes/{name}.yaml"
    for profile, card in CARDS.items():
        config = load_config(ROOT / file, profile=profile)
        plan = forecast(config)
        money = "no money" if plan.teacher is None else f"at most about {dollars(round((plan.teacher.usd or 0) * PICO))}"
        memory = f"{at_least(plan.memory) / 2**30:.1f} GB"
        rows.append((card, f"`thinklab train {file} --profile {profile}`", memory, money))
        if profile == "24gb":
            block = f"```console\n$ thinklab plan {file} --profile {profile}\n" + "\n".join(lines(config, plan, None)) + "\n```\n"
    return table(("card", "command", "memory, at least", "teacher"), rows) + block


def recipes_page() -> str:
    """docs/recipes.md with the plans as they are now."""
    return PLAN.sub(lambda m: f"{m[1]}\n{plan_text(m[2])}\n{m[3]}", (DOCS / "recipes.md").read_text("utf-8"))


PAGES = {
    "reference/config.md": config_page,
    "reference/teachers.md": teachers_page,
    "reference/cli.md": cli_page,
    "recipes.md": recipes_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), "utf-8")
