"""Resolves every extra of thinklab for each Python version on Linux x86-64 with uv, without installing anything.

    python -m pip install uv
    python tools/resolve_extras.py [--extra vllm ...] [--python 3.12 ...] [--out docs/measurements/resolved-extras.md]

uv evaluates environment markers for the Python version that is asked for and needs no interpreter of it. Prints a table: per extra
and Python version, the number of packages and what was chosen for those that matter here, or the conflict in uv's words; and the
oldest versions that the lower bounds allow (``--resolution lowest-direct``). Exit 1 when anything does not resolve.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import date
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


def main() -> None:
    extras = ["", *tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", nargs="+", choices=extras, default=extras, help="'' is thinklab without any")
    parser.add_argument("--python", nargs="+", default=list(PYTHONS))
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for each")
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--out", type=Path, help="also write the table there, as Markdown")
    args = parser.parse_args()
    if subprocess.run([sys.executable, "-m", "uv", "--version"], capture_output=True).returncode:
        sys.exit("uv is not installed: python -m pip install uv")
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
