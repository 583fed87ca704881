"""``thinklab plan``: what a config amounts to, in questions, teacher calls, dollars and bytes, before anything runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from thinklab.errors import ConfigError

if TYPE_CHECKING:  # loaded when the command is called
    from thinklab.config.experiment import Experiment
    from thinklab.experiment.forecast import Forecast, Pace


def plan(
    config: Annotated[Path, typer.Argument(help="An experiment YAML file, or the name of a shipped one.")],
    overrides: Annotated[Optional[list[str]], typer.Argument(help="dotted.key=value ...")] = None,  # noqa: UP045
    profile: Annotated[Optional[str], typer.Option(help="tiny, t4, 16gb, 24gb or 80gb.")] = None,  # noqa: UP045
    measured: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--measured", help="A short run on the same machine, whose seconds per generation give the time."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Count what CONFIG amounts to: answers, tokens, teacher calls, money, memory. Runs nothing, and needs no key or network.

    There is no time without --measured: thinklab has no figures of your machine.
    """
    from thinklab.config.load import load_config
    from thinklab.experiment.forecast import forecast, measured_pace

    experiment = load_config(config, overrides or [], profile)
    if experiment.baseline is not None:
        raise ConfigError(f"{config} trains on texts (baseline: {experiment.baseline.kind}); a plan counts policy-gradient runs")
    found = forecast(experiment)
    pace = measured_pace(measured, experiment) if measured else None
    if as_json:
        print(json.dumps({"name": experiment.name, **asdict(found), "pace": pace and asdict(pace)}))
        return
    print(*lines(experiment, found, pace), sep="\n")


def lines(config: Experiment, found: Forecast, pace: Pace | None) -> list[str]:
    """The plan as text."""
    from thinklab.experiment.memory_plan import at_least

    t = config.train
    said = [
        f"{'answers':8} {found.generations:,} generations x {t.questions} questions x {t.samples} = {found.rollouts:,} answers, "
        f"at most {found.sampled_tokens_at_most:,} tokens",
        f"{'probes':8} {found.probe_answers:,} answers, at most {found.probe_tokens_at_most:,} tokens",
    ]
    if found.guided_at_most:
        said.append(f"{'guidance':8} at most {found.guided_at_most:,} teacher calls")
    if found.teacher is not None:
        cap = found.teacher.cap_usd
        said.append(f"{'teacher':8} {found.teacher}")
        said.append(f"{'cap':8} " + (f"${cap:g}: never more" if cap is not None else "none: set teacher.cap_usd"))
    elif found.guided_at_most:
        said.append(f"{'teacher':8} {config.teacher.backend}: {found.teacher_said or 'costs no money'}")
    if found.teacher is not None and found.teacher_said:
        said.append(f"{'':8} ({found.teacher_said})")
    if found.refused:
        said.append(f"{'':8} thinklab train would refuse this: {found.refused}")
    if found.judge:
        said.append(f"{'judge':8} {found.judge}")
    for k, part in enumerate(found.memory):
        when = f" ({part.when})" if part.when != "always" else ""
        said.append(f"{'memory' if k == 0 else '':8} {part.bytes / 2**30:5.1f} GB  {part.what}{when}")
    if found.memory:
        said.append(
            f"{'':8} {at_least(found.memory) / 2**30:5.1f} GB  at least, computed; the peak is not measured: thinklab doctor tries it"
        )
    elif config.student.path:
        said.append(f"{'memory':8} not computed: the config.json of {config.student.path} is not on this machine")
    if pace is None:
        said.append(f"{'time':8} not measured: train a few steps on your machine, and pass that run with --measured")
    else:
        hours = found.generations * pace.seconds / 3600
        shown = f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"
        said.append(
            f"{'time':8} {shown} for {found.generations:,} generations of {pace.seconds:.1f} s, the median of {pace.generations}; without probes"
        )
        if pace.differs:
            said.append(f"{'':8} (that run has another {', '.join(pace.differs)}: the time is not comparable)")
    return said
