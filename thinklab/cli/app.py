"""The Typer app: ``thinklab demo``, ``train``, ``probe``, ``report``; registers the other commands; ``main``.

Errors that thinklab raises on purpose become one line and an exit code: 2 usage, 1 a failed run,
3 a run that its teacher ended early.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer
import typer.core
from rich.console import Console

from thinklab.cli import behaviors as cli_behaviors
from thinklab.cli import doctor as cli_doctor
from thinklab.cli import evaluation as cli_eval
from thinklab.cli import export as cli_export
from thinklab.cli import guide as cli_guide
from thinklab.cli import harness as cli_harness
from thinklab.cli import parts as cli_parts
from thinklab.cli import plan as cli_plan
from thinklab.cli import study as cli_study
from thinklab.cli import view as cli_view
from thinklab.cli.completion import config_names, one_of
from thinklab.config import tested_versions
from thinklab.config.profiles import PROFILES
from thinklab.interop import upstream_bars
from thinklab.run.ending import exit_code
from thinklab.run.signals import Interrupted
from thinklab.students import unsloth_first


class _Stopped(Exception):
    """Carries a ``KeyboardInterrupt`` past Typer, which would turn it into exit code 130 and drop its message."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Stopped(error) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Teach a language model a way of thinking it does not have, and measure whether it learned it.",
)
console = Console(stderr=True, highlight=False)
Out = Annotated[Optional[Path], typer.Option("--out", help="Run folder; default runs/NAME.")]  # noqa: UP045


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print("thinklab", version("thinklab"))
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The options of ``thinklab`` itself; each command defines its own."""
    if ctx.invoked_subcommand != "doctor":  # which reports them among its findings
        tested_versions.warn_once()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Output folder for the runs and the report.")] = Path("runs/demo"),
    behavior: Annotated[
        str, typer.Option(help="self-check or thalapathy-vijay.", autocompletion=one_of("self-check", "thalapathy-vijay"))
    ] = "self-check",
    method: Annotated[
        str,
        typer.Option(
            help="aas, grpo, luffy, ratio, authors or sft.",
            autocompletion=one_of("aas", "grpo", "luffy", "ratio", "authors", "sft"),
        ),
    ] = "aas",
    seed: Annotated[int, typer.Option(help="Seed of both runs.")] = 0,
    steps: Annotated[Optional[int], typer.Option(min=1, help="Optimizer steps; default: the behavior's demo config.")] = None,  # noqa: UP045
    questions: Annotated[Optional[int], typer.Option(min=1, help="Number of held-out questions in the final probe.")] = None,  # noqa: UP045
) -> None:
    """Teach the embedded student a behavior, train plain GRPO as the control, and write a report."""
    from thinklab.studies.demo import run_demo

    run_demo(out, behavior, method, seed, steps, questions, Console(highlight=False))


@app.command()
def train(
    config: Annotated[
        Path,
        typer.Argument(
            help="An experiment YAML file, the name of a shipped one, or a run's config.yaml; with --resume, a run folder.",
            autocompletion=config_names("experiment"),
        ),
    ],
    overrides: Annotated[Optional[list[str]], typer.Argument(help="dotted.key=value ...")] = None,  # noqa: UP045
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint: train --resume RUN.")] = False,
    profile: Annotated[
        str | None,
        typer.Option(help="tiny, t4, 16gb, 24gb or 80gb: fills in what CONFIG omits.", autocompletion=one_of(*PROFILES)),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Hide the progress line.")] = False,
    review: Annotated[
        bool,
        typer.Option(
            "--review",
            help="Pause at each batch until reviewers have decided on its guidance in a browser; see review.* in the config for "
            "more.",
        ),
    ] = False,
    deadline: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option("--review-deadline", help="Maximum seconds that a batch waits for review."),
    ] = None,
    default: Annotated[
        str | None,
        typer.Option(
            "--review-default",
            help="What to do with undecided guidance when training continues: accept, accept_if_detected or reject.",
        ),
    ] = None,
) -> None:
    """Run the experiment CONFIG, with a probe before and after training. Ctrl-C finishes the current generation and saves."""
    said = {"pause": "true" if review else None, "deadline_s": deadline, "default": default}
    overrides = [*(overrides or []), *(f"review.{key}={value}" for key, value in said.items() if value is not None)]
    from thinklab.experiment import train as runs
    from thinklab.reports.console import probe_table, progress
    from thinklab.view.reviewed import check, reviewed

    def listen(e):
        check(e)
        return progress(e.train.steps, e.name, quiet, console)

    experiment, out, result = runs.train(
        config,
        overrides or [],
        out,
        resume,
        profile,
        listen,
        lambda text: console.print(text, markup=False, soft_wrap=True),
        reviewed,
    )
    if not quiet:
        Console(highlight=False).print(probe_table({experiment.name: result}))
        print(f"run folder: {out}")
    runs.check_teacher_lasted(experiment, out, result)


@app.command()
def probe(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    questions: Annotated[Optional[int], typer.Option(min=1, help="Number of held-out questions.")] = None,  # noqa: UP045
    samples: Annotated[Optional[int], typer.Option(min=1, help="Sampled answers per question at temperature 1.")] = None,  # noqa: UP045
    persistence: Annotated[
        int, typer.Option(min=0, help="Additional steps of plain GRPO, to measure how much of the behavior persists.")
    ] = 0,
) -> None:
    """Measure the last checkpoint of RUN on held-out questions: rates, reach, spill-over, retention, persistence."""
    unsloth_first.import_first_for(run)
    from thinklab.experiment.probe_run import probe_run
    from thinklab.probing.sentences import sentences
    from thinklab.reports.console import probe_table

    try:
        known = probe_run(run, questions, samples, persistence, lambda text: console.print(text, markup=False))
    except KeyboardInterrupt as error:
        raise Interrupted(
            getattr(error, "number", 2),
            "stopped; the measurements so far are in probe.json. Run the same command again to measure the rest",
        ) from None
    shown = Console(highlight=False)
    shown.print(probe_table({run.name: known}))
    for sentence in sentences(known):
        shown.print(sentence, markup=False, soft_wrap=True)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or a folder that contains runs.")],
    out: Annotated[Path | None, typer.Option(help="Default RUN/report.html.")] = None,
) -> None:
    """Write one self-contained HTML page about RUN."""
    from thinklab.reports.run_page import report_folder

    print(report_folder(run, out))


app.command("guide")(cli_guide.guide)
app.command("doctor")(cli_doctor.doctor)
app.command("plan")(cli_plan.plan)
app.command("save")(cli_export.save)
app.command("push")(cli_export.push)
app.command("study")(cli_study.study)
app.command("experiment", hidden=True)(cli_study.study)  # its name up to 0.1
app.command("view")(cli_view.view)
app.command("eval")(cli_eval.evaluate)
app.command("teachers")(cli_parts.teachers)
app.command("tasks")(cli_parts.tasks)
app.command("students")(cli_parts.students)
app.add_typer(cli_harness.app, name="harness")
app.add_typer(cli_behaviors.app, name="behaviors")


def main() -> None:
    """Entry point of ``thinklab``."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    upstream_bars.none_in_files()
    logging.getLogger("bitsandbytes").setLevel(
        logging.ERROR
    )  # on a CPU it warns about a kernel from the hub, even without 4-bit weights
    sys.exit(exit_code(_invoke, console))


def _invoke() -> None:
    try:
        app()
    except _Stopped as stopped:
        raise stopped.args[0] from None
