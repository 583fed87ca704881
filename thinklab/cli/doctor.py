"""``thinklab doctor``: arguments and printing; the checks themselves are in ``experiment/doctor.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console
from rich.text import Text

from thinklab.cli.completion import config_names, one_of
from thinklab.config.profiles import PROFILES
from thinklab.errors import StudentError

MARKS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "problem": ("FAIL", "bold red")}


def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(help="An experiment YAML file, or the name of a shipped one.", autocompletion=config_names("experiment")),
    ] = None,
    overrides: Annotated[Optional[list[str]], typer.Argument(help="dotted.key=value ...")] = None,  # noqa: UP045
    profile: Annotated[str | None, typer.Option(help="tiny, t4, 16gb, 24gb or 80gb.", autocompletion=one_of(*PROFILES))] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Check without loading models or contacting servers.")] = False,
) -> None:
    """Check this machine and, with CONFIG or --profile, everything that the run needs; exit 1 if the run would fail."""
    from thinklab.config.experiment import Experiment
    from thinklab.config.load import load_config
    from thinklab.config.profiles import apply_profile
    from thinklab.experiment.check_lines import check_parts

    experiment = None
    if config is not None:
        experiment = load_config(config, overrides or [], profile, check_parts)  # the device is among the findings
    elif profile is not None:
        apply_profile({}, profile)  # an unknown name is reported here, in one line
        experiment = Experiment.model_validate({"profile": profile, "loss": {"method": "grpo"}})
    if experiment is not None and experiment.student.kind == "unsloth":
        from thinklab.students import unsloth_first

        try:
            unsloth_first.import_first("unsloth")
        except StudentError:
            pass  # the checks below report it together with everything else
    from thinklab.experiment.doctor import examine

    console, problems = Console(highlight=False), 0
    for finding in examine(experiment, quick):
        mark, style = MARKS[finding.level]
        problems += finding.level == "problem"
        console.print(Text(mark, style), Text(finding.what), soft_wrap=True)
        if finding.advice:
            console.print(Text(f"     -> {finding.advice}"), soft_wrap=True)
    if problems:
        console.print(f"A run would fail: {problems} problem{'s' * (problems > 1)} above.")
        raise typer.Exit(1)
    console.print("No problem found that would stop a run.")
