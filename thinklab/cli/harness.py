"""``thinklab harness export, check``: arguments and printing; the work is done in ``evaluation/harness.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Score the same student with lm-evaluation-harness.")


@app.command()
def export(
    source: Annotated[str, typer.Argument(help="A run folder, 'embedded', a model folder, or a Hugging Face model id.")],
    tasks: Annotated[Path, typer.Argument(help="An evaluation YAML file: its benchmarks become tasks of the harness.")],
    out: Annotated[Path, typer.Option(help="Output folder of the export.")] = Path("runs/harness"),
) -> None:
    """Write a plain model folder, the questions as tasks, and the command to run."""
    from thinklab.evaluation import harness
    from thinklab.evaluation.plan import load_evaluation

    config = load_evaluation(tasks)
    print(f"model: {harness.export_model(source, out)}")
    names = harness.export_tasks(config, out)
    print(f"tasks: {', '.join(names)}\n\n{harness.command(out, names)}")


@app.command()
def check(out: Annotated[Path, typer.Argument(help="An export whose tasks lm-evaluation-harness has run.")]) -> None:
    """Answer an export's questions here, greedily, and compare with what the harness logged."""
    from thinklab.evaluation import harness

    for agreement in harness.check(out, print):
        print(agreement)
        for item in agreement.differing[:5]:
            print(
                f"  {item['id']}: gold {item['gold']!r}, {item['grade']} here on {item['ours'][-60:]!r}, "
                f"{item['harness_grade']} there on {item['harness'][-60:]!r}"
            )
