"""The house: every import runs down, no files import each other in a circle, and docs/architecture.md shows the tree as it is."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools import make_architecture

PACKAGE = ROOT / "thinklab"
FLOORS = (
    ("errors", "types", "interop", "shaping", "logprobs", "advantages", "empty_steps", "through_wrapper"),
    (
        "config",
        "stage2",
        "vllm_sync",
        "aas",
        "credit",
        "token_metrics",
        "sampler",
        "batch_metrics",
        "trl_options",
        "generation",
        "tasks",
    ),
    ("run", "teacher_watch", "students", "teachers", "behavior", "reward_functions"),
    ("trainer", "guide", "rewards", "probing"),
    ("review", "experiment", "reports", "export"),
    ("widgets", "studies", "evaluation"),
    ("lab", "view"),
    ("cli",),
    ("__main__",),
)
"""Rooms from the ground up. A room may import from rooms below it and, within its own floor, from those named before it."""
ORDER = {room: k for k, room in enumerate(room for floor in FLOORS for room in floor)}


def modules() -> dict[str, Path]:
    """Dotted name -> file, without the packages' faces: a face only hands names on."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {".".join(f.relative_to(ROOT).with_suffix("").parts): f for f in files if f.name != "__init__.py" or is_module(f)}


def is_module(face: Path) -> bool:
    """True for an ``__init__.py`` that defines more than ``__getattr__``."""
    body = ast.parse(face.read_text("utf-8")).body
    return any(isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name not in ("__getattr__", "__dir__") for n in body)


def imports(name: str, file: Path, known: dict[str, Path]) -> set[str]:
    """The modules of thinklab that ``file`` imports anywhere, also inside functions; type-checking imports count too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{a.name}" for a in node.names]
        else:
            continue
        for dotted in names:
            while dotted.startswith("thinklab."):
                module = dotted if dotted in known else f"{dotted}.__init__"
                if module in known and module != name:
                    found.add(module)
                    break
                dotted = dotted.rpartition(".")[0]
    return found


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(name, file, known) for name, file in known.items()}


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_its_floor(graph):
    rooms = {room(m) for m in graph} - {"__init__"}
    assert rooms == set(ORDER)


def test_at_most_nine_floors(graph):
    """The floor of a room is one above the highest that it imports from, the entry of ``python -m thinklab`` included."""
    below = {r: {room(b) for a, bs in graph.items() if room(a) == r for b in bs} - {r, "__init__"} for r in ORDER}
    floors: dict[str, int] = {}
    for r in ORDER:
        floors[r] = 1 + max((floors[b] for b in below[r]), default=0)
    assert max(floors.values()) <= 9, {k: sorted(r for r in floors if floors[r] == k) for k in range(1, max(floors.values()) + 1)}


def test_no_import_runs_up(graph):
    up = [
        f"{a} -> {b}"
        for a, bs in graph.items()
        for b in bs
        if room(a) in ORDER and room(b) in ORDER and room(a) != room(b) and ORDER[room(b)] > ORDER[room(a)]
    ]
    assert not up, "\n".join(up)


def test_no_circle(graph):
    left = {m: set(b) for m, b in graph.items()}
    while leaves := [m for m, b in left.items() if not b & set(left)]:
        for m in leaves:
            del left[m]
    assert not left, {m: sorted(b & set(left)) for m, b in left.items()}


def test_nothing_inside_starts_the_command_line():
    """A process of thinklab's own runs a module made for it (``child_run``); the command line is for people."""
    started = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.List):
                words = [e.value if isinstance(e, ast.Constant) else None for e in node.elts]
                started += [(file.name, b) for a, b in pairwise(words) if a == "-m"]
    assert ("training_run.py", "thinklab.experiment.child_run") in started
    assert not [where for where in started if where[1] in (None, "thinklab")]


def test_the_page_shows_every_file():
    text = make_architecture.PAGE.read_text("utf-8")
    assert make_architecture.page(text) == text, "run: python tools/make_architecture.py"


def test_the_page_shows_the_floors():
    rows = [f"| {k} | {' '.join(f'`{r}`' for r in rooms)} |" for k, rooms in enumerate(FLOORS, 1)]
    assert "\n".join(["| floor | folders and files |", "| --- | --- |", *rows, ""]) in make_architecture.PAGE.read_text("utf-8")


def test_no_two_public_classes_of_one_name():
    places: dict[str, list[str]] = {}
    for name, file in modules().items():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert not twice, f"one name, one thing: {twice}"


def holds_files(folder: Path) -> bool:
    """False for what git leaves of a folder that was moved: nothing, or caches."""
    return any(p.is_file() and "__pycache__" not in p.relative_to(folder.parent).parts for p in folder.rglob("*"))


def test_a_folder_with_nothing_but_caches_holds_no_files(tmp_path):
    cache = tmp_path / "gone" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "test_x.cpython-311.pyc").touch()
    assert not holds_files(tmp_path / "gone") and not holds_files(cache)
    (tmp_path / "gone" / "test_x.py").touch()
    assert holds_files(tmp_path / "gone")


def test_tests_lie_in_rooms_of_the_same_names():
    """``tests/method`` holds those of the files at the root of ``thinklab/``; what has no room of its own is named here."""
    others = {"method", "support", "data", "golden", "docs", "gpu", "unsloth"}
    rooms = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    tests = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and holds_files(p)}
    assert tests - rooms == others and rooms <= tests
    empty = {room for room in rooms if not list((ROOT / "tests" / room).glob("test_*.py"))}
    assert not empty
    helpers = {p for p in (ROOT / "tests").rglob("*.py") if not p.name.startswith(("test_", "conftest", "__init__"))}
    assert {p.parent.name for p in helpers} <= {"support", "unsloth"}
