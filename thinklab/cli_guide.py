"""``thinklab guide``: comments on a file of answers without any training."""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from ruamel.yaml import YAML

from thinklab.errors import ConfigError, ThinklabError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command("guide")
def guide(
    questions: Annotated[Path, typer.Argument(help="JSONL with 'question' and 'response' on each line.")],
    behavior: Annotated[str, typer.Option(help="A shipped behaviour, or a path to a YAML file.")],
    teacher: Annotated[str, typer.Option(help="scripted, anthropic, openai, local, human, replay, or an installed "
                                              "one.")],
    option: Annotated[Optional[list[str]], typer.Option(                                            # noqa: UP045
        "--option", "-o", help="An option of the teacher, key=value; repeat for more. Never a key.")] = None,
    out: Annotated[Optional[Path], typer.Option(help="JSONL to write; default: stdout.")] = None,  # noqa: UP045
    limit: Annotated[Optional[int], typer.Option(min=1, help="Only the first N lines.")] = None,    # noqa: UP045
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it may cost.")] = False,
) -> None:
    """Guide a file of answers: ask TEACHER for BEHAVIOR on each, parse strictly, count what came of it."""
    from thinklab.behavior import load_behavior
    from thinklab.guide_file import Tally, guide_answers, read_answers, requests_for
    from thinklab.teachers import load_teacher
    from thinklab.teachers.base import check

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    wanted, answers = load_behavior(behavior), read_answers(questions, limit)
    if out is not None and out.exists():
        raise ConfigError(f"{out} exists already: name another file, or move it away")
    asked = load_teacher(teacher, **parse_options(option or []))
    if hasattr(asked, "estimate"):
        console.print(f"Before: {asked.estimate(requests_for(answers, wanted))}", markup=False)
    if dry_run:
        return
    check(asked)
    tally, lines = Tally(), 0
    target = sys.stdout if out is None else _open_new(out)
    try:
        for line in guide_answers(answers, wanted, asked, tally):
            target.write(json.dumps(line, ensure_ascii=False) + "\n")
            target.flush()
            lines += 1
    finally:
        if out is not None:
            target.close()
        _report(console, tally, lines, len(answers), asked, out)


def parse_options(given: list[str]) -> dict[str, Any]:
    """``["rule=hit-hard", "wrong_share=0.2"]`` as keyword arguments; values are read as YAML.

    Raises:
        ConfigError: for one without ``=``, or with a value that is not YAML.
    """
    options: dict[str, Any] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise ConfigError(f"--option takes key=value, not {name!r} alone")
        try:
            options[name] = YAML(typ="safe").load(value) if value else ""
        except Exception as error:                       # ruamel has no common base for all that it raises
            raise ConfigError(f"--option {name}: the value is not valid YAML") from error
    return options


def _open_new(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("x", encoding="utf-8")


def _report(console: Console, tally: Any, lines: int, total: int, teacher: Any, out: Path | None) -> None:
    usable = tally.outcomes["proposed"]
    console.print(f"{lines} of {total} answers asked about, {usable} usable replies", markup=False)
    rejected = {k: n for k, n in tally.outcomes.most_common() if k != "proposed"}
    if rejected:
        console.print("rejected: " + ", ".join(f"{reason} {n}" for reason, n in rejected.items()), markup=False)
    if tally.opinion_accuracy is not None:
        console.print(f"opinion right: {tally.opinions_right} of {tally.opinions} "
                      f"({tally.opinion_accuracy:.1%})", markup=False)
    if hasattr(teacher, "summary"):
        console.print(f"cost: {teacher.summary()}", markup=False)
    if out is not None:
        console.print(f"written: {out}", markup=False)


def main() -> None:
    """``python -m thinklab.cli_guide``; the ``thinklab`` command mounts ``guide`` itself."""
    try:
        app()
    except ThinklabError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
