"""``thinklab guide``: arguments, progress bar, and printed table; the work is done in ``guide/answers_file.py``."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from ruamel.yaml import YAML

from thinklab.cli.completion import behavior_names, teacher_names
from thinklab.errors import ConfigError, ThinklabError
from thinklab.guide.rejections import sentence
from thinklab.teachers.safety import as_text

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command("guide")
def guide(
    questions: Annotated[Path, typer.Argument(help="JSONL with 'question' and 'response' on each line.")],
    behavior: Annotated[str, typer.Option(help="A shipped behavior, or a path to a YAML file.", autocompletion=behavior_names)],
    teacher: Annotated[
        str,
        typer.Option(
            help="scripted, anthropic, openai, local, human, replay, or another that `thinklab teachers` lists.",
            autocompletion=teacher_names,
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="An option of the teacher as key=value; repeatable. Never pass an API key here."),
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="JSONL file to write; default: stdout.")] = None,  # noqa: UP045
    limit: Annotated[Optional[int], typer.Option(min=1, help="Use only the first N lines.")] = None,  # noqa: UP045
    show: Annotated[int, typer.Option(min=0, help="Number of usable replies to print as examples.")] = 2,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch", help="Ask through the service's batch API: cheaper, within minutes to a day; run it again to go on."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the cost estimate.")] = False,
) -> None:
    """Guide a file of answers: ask TEACHER for BEHAVIOR on each, parse the replies strictly, and count the outcomes.

    A line of QUESTIONS is {"question": ..., "response": ...}; "gold" or "reference" (its last number counts) or "is_correct"
    tell whether the response is right. Other columns are kept as "meta".
    """
    from thinklab.behavior.behavior import load_behavior
    from thinklab.guide.answers_file import Tally, guide_answers, read_answers, requests_for
    from thinklab.teachers import load_teacher
    from thinklab.teachers.base import check, settle
    from thinklab.teachers.protocols import Estimates, RefusesAboveCap, WorksAtOnce
    from thinklab.teachers.secrets import without_key

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    wanted, answers = load_behavior(behavior), read_answers(questions, limit)
    if out is not None and out.exists() and out.stat().st_size:  # an empty one is left by a command that was killed
        raise ConfigError(f"{out} exists already: name another file, or move it away")
    with without_key() if dry_run else nullcontext():
        options = parse_options(option or []) | ({"batch": True} if batch else {})
        asked = load_teacher(teacher, **options)
    if isinstance(asked, Estimates):
        cost = asked.estimate(requests_for(answers, wanted))
        console.print(f"Before: {cost}", markup=False)
        if not dry_run and isinstance(asked, RefusesAboveCap):
            asked.refuse_above_cap(cost, "ask about fewer answers with --limit")
    elif dry_run:
        console.print(f"Before: {len(answers)} answers; the teacher {teacher!r} costs no money", markup=False)
    if dry_run:
        return
    check(asked)
    tally, lines = Tally(), 0
    shown: list[dict[str, Any]] = []
    together = max(64, asked.concurrency if isinstance(asked, WorksAtOnce) else 0)
    target = sys.stdout if out is None else _open_new(out)
    interrupted = False
    try:
        with _bar(len(answers), teacher, asked) as step:
            for line in guide_answers(answers, wanted, asked, tally, together):
                target.write(json.dumps(line, ensure_ascii=False) + "\n")
                target.flush()
                lines += 1
                step()
                fresh = line["question"] not in [other["question"] for other in shown]
                if len(shown) < show and fresh and line["guidance"]["status"] != "rejected":
                    shown.append(line)
    except KeyboardInterrupt:
        interrupted = True
        settle(asked)
    finally:
        if out is not None:
            target.close()
        if lines or interrupted:
            for line in shown:
                _show(console, line)
            _report(console, tally, lines, len(answers), asked, out)
    if interrupted:
        console.print("stopped; the replies so far are cached, so running the command again does not pay for them twice")
        if options.get("batch"):
            console.print("a batch that was submitted goes on at the service; the same command collects it")
        raise typer.Exit(130)


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
        except Exception as error:  # ruamel has no common base for all that it raises
            raise ConfigError(f"--option {name}: the value is not valid YAML") from error
    return options


def _open_new(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w" if path.exists() else "x", encoding="utf-8")


@contextmanager
def _bar(total: int, name: str, teacher: Any) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr, or whole lines if that is not a terminal."""
    from thinklab.reports.console import PlainProgress, bars
    from thinklab.teachers.protocols import SaysBriefly

    def brief() -> str:
        return teacher.brief() if isinstance(teacher, SaysBriefly) else ""

    console = Console(stderr=True, highlight=False)
    if not sys.stderr.isatty():
        plain, done = PlainProgress(f"guide, {name}", total, "answer"), itertools.count(1)

        def one_more() -> None:
            if text := plain.line(next(done), brief()):
                console.print(text, soft_wrap=True, markup=False)

        yield one_more
        return
    with bars(console) as shown:
        task = shown.add_task(f"guide, {name}", total=total, rates="asking")
        yield lambda: shown.update(task, advance=1, rates=brief())


def _show(console: Console, line: dict[str, Any]) -> None:
    """One answer with its guidance, for reading."""
    added, correct = line["text"][len(line["response"]) :], line["correct"]
    known = "not checked" if correct is None else "right" if correct else "wrong"
    opinion = line["guidance"]["fields"]["opinion"]
    console.rule(f"{line['id']}: the answer is {known}; the teacher says {opinion}", align="left")
    console.print(line["question"], style="dim", markup=False)
    console.print(as_text(line["response"]), markup=False)
    console.print("+ " + added.strip().replace("\n", "\n+ "), style="green", markup=False)


def _report(console: Console, tally: Any, lines: int, total: int, teacher: Any, out: Path | None) -> None:
    if lines:
        console.rule()
    usable = tally.outcomes["proposed"]
    console.print(f"{lines} of {total} answers asked about, {usable} usable replies", markup=False)
    rejected = {k: n for k, n in tally.outcomes.most_common() if k != "proposed"}
    if line := sentence(tally.outcomes):
        console.print(line, markup=False, style="bold red" if line.startswith("WARNING") else None)
    if tally.not_shown:
        console.print(f"guided but not shown: {tally.not_shown}, in which the detector finds no behavior", markup=False)
    for reason in rejected:
        (detail, count), *more = tally.details[reason].most_common()
        also = f" (and {len(more)} other causes)" if len(more) > 1 else " (and one other cause)" if more else ""
        console.print(f"  {reason}, {count} times: {as_text(detail)[:200]}{also}", markup=False)
    if tally.opinion_accuracy is not None:
        console.print(f"opinion right: {tally.opinions_right} of {tally.opinions} ({tally.opinion_accuracy:.1%})", markup=False)
    from thinklab.teachers.base import should_stop
    from thinklab.teachers.protocols import SumsUp

    if isinstance(teacher, SumsUp):
        console.print(f"teacher: {teacher.summary()}", markup=False)
    if stopped := should_stop(teacher):
        console.print(f"stopped: {stopped}", markup=False)
    if out is not None:
        console.print(f"written: {out}", markup=False)


def main() -> None:
    """``python -m thinklab.cli.guide``; the ``thinklab`` command mounts ``guide`` itself."""
    try:
        app()
    except ThinklabError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
