"""``thinklab behaviors list, show, new, lint, test, preview, schema``: arguments and printing; ``behavior_packs`` adds packs.

Exit codes: 0 success, 1 a check failed, 2 invalid arguments or an unusable file.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinklab.behavior import lint
from thinklab.behavior.behavior import Behavior, list_behaviors, load_behavior, summary
from thinklab.behavior.preview import PromptPreview, preview
from thinklab.behavior.scaffold import new_file, schema
from thinklab.cli import behavior_packs
from thinklab.cli.completion import behavior_names
from thinklab.config.packs import all_packs
from thinklab.config.shipped import locate
from thinklab.errors import BehaviorError, ThinklabError
from thinklab.tasks import sums

app = typer.Typer(no_args_is_help=True, help="List, show, create, lint, test, preview, and add behaviors.")


class Format(StrEnum):
    text = "text"
    json = "json"


Target = Annotated[str, typer.Argument(help="Name of a shipped behavior, or path of a YAML file.", autocompletion=behavior_names)]
Targets = Annotated[
    list[str], typer.Argument(help="Names of shipped behaviors, or paths of YAML files.", autocompletion=behavior_names)
]
AsFormat = Annotated[Format, typer.Option("--format", help="text for people, json for programs.")]


def _out() -> Console:
    return Console(highlight=False, markup=False)


def _print(text: str) -> None:
    typer.echo(text)


def _load(target: str) -> Behavior:
    try:
        return load_behavior(target)
    except ThinklabError as err:
        typer.echo(str(err), err=True)
        raise typer.Exit(err.exit_code) from None


@app.command("list")
def list_(as_format: AsFormat = Format.text) -> None:
    """List the behaviors that ship with thinklab, and those of packs, with their source."""
    behaviors = {name: (_load(name), "thinklab") for name in list_behaviors()}
    for pack in all_packs():
        for name in pack.behaviors:
            at = f" at {pack.revision[:10]}" if pack.revision else ""
            try:
                behavior = load_behavior(f"{pack.name}:{name}")
            except BehaviorError as err:  # of one pack; the others are listed
                typer.echo(str(err), err=True)
                continue
            called = f"{pack.name}:{name}" if name in behaviors else name
            behaviors[called] = (behavior, f"{pack.name}, {pack.source}{at}")
    if as_format is Format.json:
        _print(
            json.dumps(
                [
                    {
                        "name": name,
                        "source": source,
                        "title": b.title,
                        "version": b.version,
                        "hash": b.hash,
                        "placement": b.placement,
                        "bonus": b.reward.bonus,
                    }
                    for name, (b, source) in behaviors.items()
                ],
                ensure_ascii=False,
            )
        )
        return
    table = Table("name", "title", "placement", "bonus", "source", box=None, header_style="bold")
    for name, (b, source) in behaviors.items():
        table.add_row(name, b.title, b.placement, f"{b.reward.bonus:g}", source)
    _out().print(table)


@app.command()
def show(name: Target, as_format: AsFormat = Format.text) -> None:
    """Show one behavior: what it asks for, how it is detected, and its file. With --format json: the complete resolved file."""
    behavior = _load(name)
    if as_format is Format.json:
        _print(
            json.dumps(
                {"hash": behavior.hash, "file": str(behavior.path), **behavior.spec.model_dump(by_alias=True)}, ensure_ascii=False
            )
        )
        return
    _out().print(Text(f"{behavior.name}: {behavior.title}", style="bold"))
    for label, text in summary(behavior).items():
        _print(f"{label:12} {text}")
    tests = behavior.spec.tests
    _print(f"{'few-shots':12} {len(behavior.spec.teacher.few_shots)}")
    _print(f"{'tests':12} {len(tests.all_texts)} texts, {len(tests.prompts)} prompts")
    _print(f"{'file':12} {behavior.path}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the behavior: lower case, with hyphens.")],
    folder: Annotated[Path, typer.Option("--in", help="The folder to write the file to.")] = Path(),
) -> None:
    """Write a commented template. It passes lint and test unchanged."""
    try:
        path = new_file(name, folder)
    except BehaviorError as err:
        typer.echo(str(err), err=True)
        raise typer.Exit(err.exit_code) from None
    _print(f"wrote {path}")
    _print(f"next: edit it, then run: thinklab behaviors lint {path} && thinklab behaviors test {path}")


@app.command("lint")
def lint_files(files: Targets, as_format: AsFormat = Format.text) -> None:
    """Check behavior files without running anything. Exits with 1 on errors, not on warnings."""
    found: list[lint.Finding] = []
    for target in files:
        try:
            found += lint.lint(locate(target))
        except BehaviorError as err:
            found.append(lint.Finding("error", target, 1, 1, str(err)))
    if as_format is Format.json:
        _print(json.dumps([finding.to_json() for finding in found], ensure_ascii=False))
    else:
        for finding in found:
            _print(str(finding))
        errors = sum(finding.level == "error" for finding in found)
        _print(f"{len(files)} checked: {errors} errors, {len(found) - errors} warnings")
    if any(finding.level == "error" for finding in found):
        raise typer.Exit(1)


@app.command()
def test(
    files: Targets,
    as_format: AsFormat = Format.text,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also print the tests that passed.")] = False,
) -> None:
    """Run the tests in the files, and those that every behavior must pass."""
    failed, report = 0, []
    for target in files:
        behavior = _load(target)
        results = lint.run_tests(behavior)
        bad = [r for r in results if r.passed is False]
        failed += len(bad)
        report.append(
            {
                "name": behavior.name,
                "file": str(behavior.path),
                "passed": sum(r.passed is True for r in results),
                "failed": [{"what": r.what, "why": r.why} for r in bad],
                "not_run": [{"what": r.what, "why": r.why} for r in results if r.passed is None],
            }
        )
        if as_format is Format.text:
            _print_results(behavior, results, verbose)
    if as_format is Format.json:
        _print(json.dumps(report, ensure_ascii=False))
    if failed:
        raise typer.Exit(1)


def _print_results(behavior: Behavior, results: list[lint.TestResult], verbose: bool) -> None:
    words = {True: "ok", False: "FAILED", None: "not run"}
    for r in results:
        if verbose or r.passed is not True:
            _print(f"{words[r.passed]:8} {r.what}{f' [{r.why}]' if r.why else ''}")
    counts = [
        f"{sum(r.passed is key for r in results)} {words[key].lower()}"
        for key in (True, False, None)
        if key is True or any(r.passed is key for r in results)
    ]
    _print(f"{behavior.name}: {', '.join(counts)}")


@app.command("preview")
def preview_(
    name: Target,
    question: Annotated[str | None, typer.Option(help="Show the conversation for this question.")] = None,
    response: Annotated[str | None, typer.Option(help="The student's attempt at it.")] = None,
    calls: Annotated[int, typer.Option(min=1, help="Number of calls in the cost estimate.")] = 1000,
    model: Annotated[str | None, typer.Option(help="Use the prices of this model from the price table.")] = None,
    price_in: Annotated[float | None, typer.Option(min=0, help="Dollars per million input tokens.")] = None,
    price_out: Annotated[float | None, typer.Option(min=0, help="Dollars per million output tokens.")] = None,
    as_format: AsFormat = Format.text,
) -> None:
    """Show the full conversation that a teacher would receive, with its size and cost. Needs no API key."""
    behavior = _load(name)
    if (question is None) != (response is None):
        typer.echo("give both --question and --response, or neither", err=True)
        raise typer.Exit(2)
    if question is None or response is None:
        question, response = _example()
    made = preview(behavior, question, response)
    cost = _cost(made, calls, model, price_in, price_out)
    if as_format is Format.json:
        _print(
            json.dumps(
                {
                    "messages": list(made.messages),
                    "input_tokens": made.input_tokens,
                    "output_tokens": made.output_tokens,
                    "calls": calls,
                    "cost": cost,
                },
                ensure_ascii=False,
            )
        )
        return
    console = _out()
    for message in made.messages:
        console.print(Text(f"--- {message['role']}", style="bold"))
        _print(message["content"])
    given, got = made.tokens(calls)
    console.print(Text("--- size and cost", style="bold"))
    _print(f"one call: about {made.input_tokens:,} tokens in, {made.output_tokens:,} out")
    _print(f"{calls:,} calls: about {given:,} tokens in, {got:,} out: {cost}")


def _example() -> tuple[str, str]:
    """A question of the built-in task, with an attempt that is wrong."""
    example = next(e for e in sums.examples("train") if len(e.meta["operands"]) == 4)
    operands = "+".join(map(str, example.meta["operands"]))
    wrong = int(example.gold) + 1
    return example.question, f"{operands}={wrong}. So \\boxed{{{wrong}}}."


def _cost(made: PromptPreview, calls: int, model: str | None, price_in: float | None, price_out: float | None) -> str:
    if (price_in is None) != (price_out is None):
        typer.echo("give both --price-in and --price-out, or neither", err=True)
        raise typer.Exit(2)
    if price_in is not None and price_out is not None:
        total = made.dollars(calls, price_in, price_out)
        return f"${total:,.4f} at ${price_in:g} in and ${price_out:g} out per million tokens"
    from thinklab.teachers.presets import DEFAULT_CLAUDE
    from thinklab.teachers.prices import dollars, facts

    model = model or DEFAULT_CLAUDE
    price = facts(model).price
    if price is None:
        return f"no price is known for {model!r}; give --price-in and --price-out"
    each = made.usage(1)  # per call: the price of a call can depend on its length
    return f"{dollars(price.cost(each) * calls)} with {model} (prices of {price.date}, {price.source}; without prompt cache)"


@app.command("schema", hidden=True)
def schema_() -> None:
    """The JSON schema of a behavior file."""
    typer.echo(schema(), nl=False)


app.command("add")(behavior_packs.add)
app.command("remove")(behavior_packs.drop)
