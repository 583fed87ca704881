"""``thinklab teachers``, ``tasks`` and ``students``: what a config can name, what each needs, and whether that is here.

Descriptions are read from the sources and from the metadata of plugins, so nothing is imported that takes seconds to load.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="A list for programs.")]
WIDTH_IN_FILES = 160
SERVICES = ("litellm", "anthropic", "openai")
"""Packages that a teacher may need beside those that thinklab always installs; the first one that it imports counts."""
CREDENTIALS = {
    "bedrock": "AWS credentials, or AWS_BEARER_TOKEN_BEDROCK",
    "vertex": "Google's application-default credentials",
    "foundry": "ANTHROPIC_FOUNDRY_API_KEY",
    "litellm": "the service's key",
}


@dataclass(frozen=True)
class Need:
    """One thing that must be there before a part can be used."""

    what: str
    present: bool | None
    """None: unknown before it is tried."""
    fix: str = ""

    def __str__(self) -> str:
        if self.present is None:
            return self.what
        return f"{self.what}: {'here' if self.present else f'missing ({self.fix})' if self.fix else 'missing'}"


@dataclass(frozen=True)
class Part:
    """A teacher, a task, or a student that a config can name."""

    name: str
    about: str
    package: str = "thinklab"
    """The distribution that it comes from."""
    needs: list[Need] = field(default_factory=list)


def teachers(as_json: AsJson = False) -> None:
    """List the teachers for teacher.backend: what each is, the package and the key that it needs, and whether they are here."""
    _show(list(all_teachers()), as_json, "teacher.backend")


def tasks(as_json: AsJson = False) -> None:
    """List the tasks for task.name: what each is, and where its questions come from."""
    _show(list(all_tasks()), as_json, "task.name")


def students(as_json: AsJson = False) -> None:
    """List the students for student.kind: what each is, and what it needs."""
    _show(list(all_students()), as_json, "student.kind")


# ---- what there is ------------------------------------------------------------------------------------------------------


def all_teachers() -> Iterator[Part]:
    """The built-in teachers, then those of other packages."""
    from thinklab.teachers import BUILT_IN, GROUP
    from thinklab.teachers.presets import OPENAI, PRESETS

    for name, place in BUILT_IN.items():
        module, _, attribute = place.partition(":")
        tree = _source(module)
        preset = OPENAI if name == "openai" else PRESETS.get(name)
        named = _first_line(next((n for n in tree.body if getattr(n, "name", None) == attribute), None))
        about = named or (f"{preset.title}, through chat completions." if preset else _first_line(tree))
        needs = [_package_need(package) for package in SERVICES if package in _imported(tree)][:1]
        if name in CREDENTIALS:
            needs.append(Need(CREDENTIALS[name], None))
        keys = preset.keys if preset else ("ANTHROPIC_API_KEY",) if name == "anthropic" else ()
        if keys and (preset is None or preset.key_required):
            set_here = any(os.environ.get(key) for key in keys)
            needs.append(Need(" or ".join(keys), set_here))
        elif preset:
            needs.append(Need(f"a server at {preset.base_url}" if preset.base_url else "a server's address, base_url", None))
        yield Part(name, about, needs=needs)
    yield from _plugins(GROUP, set(BUILT_IN))


def all_tasks() -> Iterator[Part]:
    """The built-in tasks, then those of other packages."""
    from thinklab.tasks import BUILT_IN

    for name in BUILT_IN:
        tree = _source(f"thinklab.tasks.{name}")
        hub = _hub_id(tree)
        needs = []
        if hub:
            needs.append(Need(f"{hub} from the Hub, or task.path", _downloaded(hub) or None))
        elif name == "own":
            needs.append(Need("task.path", None))
        elif name == "columns":
            needs.append(Need("the names of the columns, and hub or path", None))
        yield Part(name, _first_line(tree), needs=needs)
    yield from _plugins("thinklab.tasks", set(BUILT_IN))


def all_students() -> Iterator[Part]:
    """The built-in students, then those of other packages."""
    from thinklab.students import FOLDERS, KINDS

    gpu = Need("an NVIDIA GPU", shutil.which("nvidia-smi") is not None)
    made = (FOLDERS["small-world"] / "model.safetensors").is_file()
    known = {
        "small-world": Part(
            "small-world",
            "The student of the task world, for studies.",
            needs=[Need("its weights", made, "python -m thinklab.students.make_world")],
        ),
        "embedded": Part("embedded", "The tiny student that ships with thinklab: 0.74 million weights, trains on two CPU cores."),
        "transformers": Part(
            "transformers",
            _first_line(_source("thinklab.students.hf")),
            needs=[Need("student.path", None), _package_need("bitsandbytes", "for student.quantize=nf4")],
        ),
        "unsloth": Part(
            "unsloth",
            _first_line(_source("thinklab.students.unsloth")),
            needs=[Need("student.path", None), _package_need("unsloth"), gpu],
        ),
    }
    for kind in KINDS:
        yield known.get(kind) or Part(kind, "")
    yield from _plugins("thinklab.students", set(KINDS))


def _plugins(group: str, taken: set[str]) -> Iterator[Part]:
    for point in metadata.entry_points(group=group):
        if point.name not in taken:
            package = point.dist
            summary = (
                package.metadata["Summary"] if package is not None and "Summary" in package.metadata else ""
            ) or point.value
            yield Part(point.name, summary, f"{package.name} {package.version}" if package is not None else "?")


# ---- what they say, and what they need ----------------------------------------------------------------------------------


@cache
def _source(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    return ast.parse(Path(spec.origin).read_text("utf-8") if spec is not None and spec.origin else "")


def _first_line(node: ast.AST | None) -> str:
    """The first sentence of a docstring, without code marks."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        return ""
    text = (ast.get_docstring(node) or "").split("\n\n")[0]
    return re.split(r"(?<=[a-z]\.) (?=[A-Z])", " ".join(text.replace("``", "").split()))[0]


def _imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        found |= {name.partition(".")[0] for name in names}
    return found


def _hub_id(tree: ast.Module) -> str:
    """The second argument of the module's ``Source(...)``; empty if the config names it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Source" and len(node.args) > 1:
            given = node.args[1]
            if isinstance(given, ast.Constant) and isinstance(given.value, str):
                return given.value
    return ""


def _downloaded(hub: str) -> bool:
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface").expanduser()
    sets = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")
    files = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return (sets / hub.lower().replace("/", "___")).is_dir() or (files / f"datasets--{hub.replace('/', '--')}").is_dir()


def _package_need(package: str, purpose: str = "") -> Need:
    extra = _extra_of(package)
    fix = f"pip install 'thinklab[{extra}]'" if extra else f"pip install {package}"
    return Need(f"package {package}{f' {purpose}' if purpose else ''}", importlib.util.find_spec(package) is not None, fix)


def _extra_of(package: str) -> str:
    """The extra that brings ``package``: the one of its name first, then the one with the fewest packages."""
    members: dict[str, list[str]] = {}
    for line in metadata.requires("thinklab") or []:
        requirement = Requirement(line)
        for extra in re.findall(r"extra == ['\"](\w+)['\"]", str(requirement.marker or "")):
            members.setdefault(extra, []).append(requirement.name)
    brings = [extra for extra, names in members.items() if package in names and extra not in ("dev", "all")]
    if package == "bitsandbytes":  # the extra that brings it also brings Unsloth, which nf4 does not need
        return ""
    return package if package in brings else min(brings, key=lambda extra: len(members[extra]), default="")


def _show(parts: list[Part], as_json: bool, key: str) -> None:
    if as_json:
        print(json.dumps([asdict(part) for part in parts], ensure_ascii=False, indent=1))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    for head in (key, "what it is", "needs"):
        table.add_column(head, overflow="fold")
    for part in parts:
        about = part.about if part.package == "thinklab" else f"{part.about} (plugin {part.package})"
        table.add_row(Text(part.name), Text(about), Text("; ".join(map(str, part.needs)) or "nothing"))
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=WIDTH_IN_FILES)
    console.print(table)
