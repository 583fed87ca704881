"""Tests the loss, parity with stock TRL, and resuming at both ends of the ranges of the four libraries: ``make test-matrix``.

    python tools/test_matrix.py [--end oldest|newest ...] [--out FILE]

The four are transformers, TRL, PEFT, and Accelerate. For each end a layered environment is made: a virtual environment that sees
the packages of the interpreter that runs this, and has the four in other versions on top, and this checkout, so that its ranges are
those of pyproject.toml. Prints a table; exit 1 when a test fails.
"""

from __future__ import annotations

import argparse
import re
import site
import subprocess
import sys
import tempfile
import tomllib
from datetime import date
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from thinklab.config.tested_versions import TESTED

ROOT = Path(__file__).parents[1]
TESTS = {
    "loss and gradients equal the formula": "tests/method/test_trainer_formula.py",
    "equal to stock TRL without a teacher": "tests/method/test_trainer_is_trl.py",
    "resumed after SIGKILL, the same weights": "tests/experiment/test_resume.py",
    "log-probs, every family's logits": "tests/method/test_logprobs.py",
    "samplers": "tests/sampler/test_sampler.py tests/sampler/test_static_sampler.py",
    "through a data-parallel wrapper": "tests/method/test_data_parallel.py",
    "no warning from train, probe, eval, guide": "tests/cli/test_no_warnings.py tests/interop/test_renamed_arguments.py",
}


def pins(end: str) -> list[str]:
    """Requirements for ``end``: the lower bounds exactly, or the newest within the bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = {r.name: r.specifier for r in map(Requirement, project["dependencies"]) if r.name in TESTED}
    return [f"{name}{found[name]}" if end == "newest" else f"{name}=={_lowest(found[name])}" for name in TESTED]


def _lowest(bounds: SpecifierSet) -> str:
    return next(s.version for s in bounds if s.operator == ">=")


def environment(folder: Path, wanted: list[str]) -> Path:
    """The interpreter of a layered environment with ``wanted`` on top of what this interpreter has."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    inside = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
    )
    Path(inside.stdout.strip(), "main.pth").write_text(f"import site; site.addsitedir({site.getsitepackages()[0]!r})\n")
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--editable", str(ROOT)], check=True)
    subprocess.run([*install, "--upgrade", "--upgrade-strategy", "only-if-needed", *wanted], check=True)
    return python


def versions(python: Path) -> str:
    """The versions that ``python`` imports."""
    ask = f"from importlib.metadata import version as v; print(', '.join(f'{{n}} {{v(n)}}' for n in {TESTED}))"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--end", nargs="+", choices=("oldest", "newest"), default=["oldest", "newest"])
    parser.add_argument("--out", type=Path, help="also write the table there, as Markdown")
    args = parser.parse_args()
    heads, results = [], []
    for end in args.end:
        with tempfile.TemporaryDirectory() as folder:
            python = environment(Path(folder) / "venv", pins(end))
            heads.append(f"{end}: {versions(python)}")
            results.append({what: _run(python, files, f"{end}: {what}") for what, files in TESTS.items()})
    lines = [f"| what | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    lines += [f"| {what} (`{files}`) | {' | '.join(r[what] for r in results)} |" for what, files in TESTS.items()]
    head = ["# Both ends of the ranges", "", f"`make test-matrix`, {date.today()}, on a CPU.", ""]
    text = "\n".join([*head, *lines])
    print(text)
    if args.out:
        args.out.write_text(text + "\n", "utf-8")
    sys.exit(any("failed" in said for r in results for said in r.values()))


def _run(python: Path, files: str, what: str) -> str:
    done = subprocess.run(
        [python, "-m", "pytest", "-v", "-p", "no:cacheprovider", *files.split()], capture_output=True, text=True, cwd=ROOT
    )
    said = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", (done.stdout.splitlines() or [""])[-1])
    print(f"{what}: {', '.join(said)}", file=sys.stderr, flush=True)
    if done.returncode:
        print(done.stdout[-3000:] + done.stderr[-1000:], file=sys.stderr, flush=True)
        return f"**failed**: {', '.join(said) or f'exit {done.returncode}'}"
    return ", ".join(said)


if __name__ == "__main__":
    main()
