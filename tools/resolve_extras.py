"""Resolves every extra of thinklab for each Python version with pip's own resolver, without installing anything.

    python tools/resolve_extras.py [--extra vllm ...] [--python 3.12 ...] [--out docs/measurements/resolved-extras.md]

Reads the requirements from pyproject.toml and asks ``pip install --dry-run --report`` for Linux x86-64 wheels, which needs an
index but no interpreter of that version. Prints a table: per extra and Python version, what was chosen for the packages that
are pinned here, or the conflict in pip's words. Exit 1 when anything does not resolve.

Limits: pip evaluates environment markers (``python_version < "3.12"``) for the interpreter that runs it, not for the one
asked for, so the script says which that was; source-only packages count as missing.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
GLIBC = (
    *(f"manylinux_2_{n}_x86_64" for n in (35, 34, 31, 28, 27, 26, 24, 17, 12, 5)),
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
)
"""Newest first: pip takes a platform by its exact name, and torch, NVIDIA's libraries and vLLM each use another."""
SHOWN = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "vllm",
    "unsloth",
    "unsloth-zoo",
    "bitsandbytes",
    "xformers",
    "triton",
)


def requirements(project: dict, extra: str) -> list[str]:
    """The lines of ``[project.dependencies]`` and of ``extra`` (``""``: none)."""
    return project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])


def resolve(lines: list[str], python: str, timeout: float) -> dict[str, str] | str:
    """Versions by canonical name, or why there are none. ``python`` ``here``: on top of what this interpreter has installed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        bare = (
            []
            if python == "here"
            else [
                "--ignore-installed",
                "--python-version",
                python,
                "--implementation",
                "cp",
                "--target",
                str(Path(folder) / "site"),
                *[x for name in GLIBC for x in ("--platform", name)],
            ]
        )
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--dry-run",
            "--disable-pip-version-check",
            "--report",
            str(report),
            "--only-binary=:all:",
            *bare,
            *lines,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return f"not resolved within {timeout:.0f} s"
        if done.returncode:
            return _why(done.stderr)
        found = json.loads(report.read_text())["install"]
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"]["version"] for item in found}


def _why(stderr: str) -> str:
    """pip's reason in one line, without addresses and paths of the index."""
    wanted = [
        line.removeprefix("ERROR: ").strip()
        for line in stderr.splitlines()
        if line.startswith(("ERROR: ", "    "))
        and "://" not in line
        and "ResolutionImpossible" not in line
        and "Ignored the following" not in line
    ]
    return " ".join(" ".join(wanted).split())[:400] or "pip gave no reason"


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ["", *project["optional-dependencies"]]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", nargs="+", choices=extras, default=extras, help="'' is thinklab without any")
    parser.add_argument(
        "--python",
        nargs="+",
        default=list(PYTHONS),
        help="'here': what would be added to this environment, which "
        "is a way where the index lacks torch's CUDA libraries and a CPU build is installed",
    )
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for each")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the table there, as Markdown")
    args = parser.parse_args()
    cells = [(extra, python) for extra in args.extra for python in args.python]
    with ThreadPoolExecutor(args.jobs) as pool:
        found = dict(zip(cells, pool.map(lambda c: resolve(requirements(project, c[0]), c[1], args.timeout), cells), strict=True))
    text = table(project, args.extra, args.python, found)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")
    if failed := [c for c in cells if isinstance(found[c], str)]:
        sys.exit(f"{len(failed)} of {len(cells)} do not resolve")


def table(project: dict, extras: list[str], pythons: list[str], found: dict[tuple[str, str], dict[str, str] | str]) -> str:
    pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, text=True).stdout.split()[1]
    lines = [
        "# Every extra, resolved",
        "",
        f"`python tools/resolve_extras.py`, {date.today()}: pip {pip} on Python {platform.python_version()} (whose environment markers "
        "are evaluated), Linux x86-64 wheels, nothing installed.",
        "",
        "| extra | Python | packages | of them |",
        "| --- | --- | --- | --- |",
    ]
    for extra in extras:
        asked = {canonicalize_name(Requirement(line).name) for line in requirements(project, extra)}
        for python in pythons:
            got = found[extra, python]
            if isinstance(got, str):
                lines.append(f"| {extra or '(none)'} | {python} | **does not resolve** | {got.replace('|', '/')} |")
                continue
            versions = ", ".join(f"{name} {got[name]}" for name in SHOWN if name in got and name in asked | {"torch", "triton"})
            lines.append(f"| {extra or '(none)'} | {python} | {len(got)} | {versions} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
