"""``install_wheel``: the wheel of this checkout in an environment of its own, above the packages that are installed here or the core's alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT


def install_wheel(base: Path, core_only: bool = False) -> Path:
    """The interpreter of a new environment in ``base`` with the wheel.

    Args:
        core_only: of the packages here, it sees those that thinklab requires without any extra, and what these require.
    """
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(base)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = base.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(base / "env")], check=True)
    python = base / "env" / "bin" / "python"
    ask = [python, "-c", "import site; print(site.getsitepackages()[0])"]
    site = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    if core_only:
        (requires,) = (d.requires or [] for d in metadata.distributions(path=[str(site)]) if d.name == "thinklab")
        _link(required(requires), site)
    else:  # .pth files below are not read: no editable thinklab
        below = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
        (site / "below.pth").write_text("".join(f"{p}\n" for p in below))
    return python


def required(lines: Iterable[str]) -> dict[str, metadata.Distribution]:
    """The installed packages that ``lines`` of requirements bring, by name, and what these require in turn."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(line, frozenset({""})) for line in lines]
    while todo:
        line, extras = todo.pop()
        requirement = Requirement(line)
        name, wanted = canonicalize_name(requirement.name), frozenset(requirement.extras or {""})
        marker = requirement.marker
        if (name, wanted) in seen or not (marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)):
            continue
        seen.add((name, wanted))
        found[name] = metadata.distribution(name)
        todo += [(more, wanted) for more in found[name].requires or []]
    return found


def _link(packages: dict[str, metadata.Distribution], site: Path) -> None:
    """Put links to everything that ``packages`` have installed into ``site``."""
    for package in packages.values():
        for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            source, target = Path(str(package.locate_file(top))), site / top
            if source.suffix != ".pth" and source.exists() and not target.exists():
                target.symlink_to(source)
