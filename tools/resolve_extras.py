"""Resolves every extra of thinklab for each Python version on Linux x86-64 with uv, and installs extras into fresh environments.

    python -m pip install uv
    python tools/resolve_extras.py [--extra vllm ...] [--python 3.12 ...] [--out docs/measurements/resolved-extras.md]
    python tools/resolve_extras.py --install [--extra teachers ...] [--by pip uv] [--python 3.11 ...] [--out FILE]

uv evaluates environment markers for the Python version that is asked for and needs no interpreter of it. Prints a table: per extra
and Python version, the number of packages and what was chosen for those that matter here, or the conflict in uv's words; and the
oldest versions that the lower bounds allow (``--resolution lowest-direct``). Exit 1 when anything does not resolve.

With ``--install`` the wheel of this checkout is built, and each extra is installed from it by pip and by uv, each into an empty
environment and without the tool's cache: seconds, packages, and bytes on disk. Interpreters that are not on the path are left out. pip
follows this machine's configuration, which may have a CPU build of torch; uv does not read it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORM = "x86_64-manylinux_2_35"
SHOWN = ("torch", "transformers", "trl", "peft", "accelerate", "vllm", "unsloth", "bitsandbytes", "xformers", "triton", "lm-eval")
LOWEST = "lowest-direct"


def resolve(extra: str, python: str, resolution: str, timeout: float) -> dict[str, str] | str:
    """Versions by name, or why there are none."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-config"]
    command += ["--python-version", python, "--python-platform", PLATFORM, "--resolution", resolution]
    command += ["--extra", extra] if extra else []
    try:
        done = subprocess.run([*command, str(ROOT / "pyproject.toml")], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"not resolved within {timeout:.0f} s"
    if done.returncode:
        return " ".join(re.sub(r"https?://\S+|[×│╰─▶]", " ", done.stderr).split())[:400] or "uv gave no reason"
    return dict(line.split(" ;")[0].split("==") for line in done.stdout.splitlines() if "==" in line)


def table(rows: list[tuple[str, str, str, dict[str, str] | str]]) -> str:
    uv = subprocess.run([sys.executable, "-m", "uv", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    lines = [
        "# Every extra, resolved",
        "",
        f"`python tools/resolve_extras.py`, {date.today()}: uv {uv}, Linux x86-64 ({PLATFORM}), nothing installed. "
        "`lowest-direct` takes the oldest versions that pyproject.toml allows.",
        "",
        "| extra | Python | versions | packages | of them |",
        "| --- | --- | --- | --- | --- |",
    ]
    for extra, python, resolution, got in rows:
        start = f"| {extra or '(none)'} | {python} | {'oldest' if resolution == LOWEST else 'newest'} |"
        if isinstance(got, str):
            lines.append(f"{start} **does not resolve** | {got.replace('|', '/')} |")
        else:
            lines.append(f"{start} {len(got)} | {', '.join(f'{name} {got[name]}' for name in SHOWN if name in got)} |")
    return "\n".join(lines)


# ---- installing -------------------------------------------------------------------------------------------------------------


def build(folder: Path) -> Path:
    """The wheel of this checkout."""
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)], check=True)
    return next(folder.glob("thinklab-*.whl"))


def install(wheel: Path, extra: str, tool: str, version: str) -> tuple[float, int, int, str] | str:
    """Seconds, packages, bytes on disk, and the version of torch; or why it failed."""
    with tempfile.TemporaryDirectory() as folder:
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--no-python-downloads", "--python", version, "--clear", folder], check=True)
        python = Path(folder, "bin", "python")
        named = f"thinklab[{extra}] @ {wheel.as_uri()}" if extra else f"thinklab @ {wheel.as_uri()}"
        if tool == "uv":
            command = [*uv, "pip", "install", "--no-config", "--no-cache", "--python", str(python), named]
        else:
            command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-cache-dir", named]
        began = time.perf_counter()
        done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, cwd=folder)
        seconds = time.perf_counter() - began
        if done.returncode:
            return " ".join(done.stderr.split())[:300]
        ask = "from importlib.metadata import distributions as d, version; print(len(list(d())), version('torch'))"
        count, torch = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True, cwd=folder).stdout.split()
        return seconds, int(count), _size(Path(folder)), torch


def _size(folder: Path) -> int:
    return sum(
        os.lstat(os.path.join(at, name)).st_blocks * 512 for at, _, names in os.walk(folder) for name in names
    )  # as `du` counts


def installed_table(rows: list[tuple[str, str, str, tuple[float, int, int, str] | str]]) -> str:
    lines = [
        "| extra | Python | by | seconds | packages | on disk | torch |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for extra, version, tool, got in rows:
        start = f"| {extra or '(none)'} | {version} | {tool} |"
        if isinstance(got, str):
            lines.append(f"{start} **failed** | {got.replace('|', '/')} | | |")
        else:
            seconds, count, size, torch = got
            lines.append(f"{start} {seconds:.0f} | {count} | {size / 1e9:.2f} GB | {torch} |")
    return "\n".join(lines)


def install_all(extras: list[str], versions: list[str], tools: list[str], out: Path | None) -> None:
    rows: list[tuple[str, str, str, tuple[float, int, int, str] | str]] = []
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder))
        for version, extra, tool in product(versions, extras, tools):
            rows.append((extra, version, tool, install(wheel, extra, tool, version)))
            print(*rows[-1], file=sys.stderr, flush=True)
            if out:
                out.write_text(installed_table(rows) + "\n", "utf-8")  # each takes minutes
    print(installed_table(rows))
    if failed := sum(isinstance(got, str) for *_, got in rows):
        sys.exit(f"{failed} of {len(rows)} cannot be installed")


def main() -> None:
    extras = ["", *tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", nargs="+", choices=extras, default=extras, help="'' is thinklab without any")
    parser.add_argument("--python", nargs="+", default=list(PYTHONS))
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for each")
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--out", type=Path, help="also write the table there, as Markdown")
    parser.add_argument("--install", action="store_true", help="install each extra, instead of resolving it for every Python")
    parser.add_argument("--by", nargs="+", choices=("pip", "uv"), default=["pip", "uv"])
    args = parser.parse_args()
    if subprocess.run([sys.executable, "-m", "uv", "--version"], capture_output=True).returncode:
        sys.exit("uv is not installed: python -m pip install uv")
    if args.install:
        here = subprocess.run([sys.executable, "-m", "uv", "python", "list", "--only-installed"], capture_output=True, text=True)
        versions = [version for version in args.python if f"cpython-{version}." in here.stdout]
        install_all(args.extra, versions, args.by, args.out)
        return
    cells = [(extra, python, end) for extra in args.extra for python in args.python for end in ("highest", LOWEST)]
    with ThreadPoolExecutor(args.jobs) as pool:  # each waits for the index
        found = pool.map(lambda cell: resolve(*cell, args.timeout), cells)
        rows = [(*cell, got) for cell, got in zip(cells, found, strict=True)]
    text = table(rows)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", "utf-8")
    if failed := sum(isinstance(got, str) for *_, got in rows):
        sys.exit(f"{failed} of {len(rows)} do not resolve")


if __name__ == "__main__":
    main()
