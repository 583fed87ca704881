"""``thinklab export`` and ``thinklab export-check``: a student for other tools, and whether one of them scores it alike."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    source: Annotated[str, typer.Argument(help="A run folder, 'embedded', a model folder or a hub id.")],
    out: Annotated[Path, typer.Option(help="Where the export goes.")] = Path("export"),
    tasks: Annotated[Path | None, typer.Option(help="An evaluation in YAML: its benchmarks become "
                                                       "tasks.")] = None,
) -> None:
    """Write a student as a plain Hugging Face folder, and an evaluation's benchmarks for lm-evaluation-harness."""
    from thinklab import harness
    from thinklab.eval_config import load_evaluation
    config = load_evaluation(tasks) if tasks else None
    print(f"model: {harness.export_model(source, out)}")
    if config is not None:
        names = harness.export_tasks(config, out)
        print(f"tasks: {', '.join(names)}\n\n{harness.command(out, names)}")


def check(out: Annotated[Path, typer.Argument(help="An export whose tasks the harness has run.")]) -> None:
    """Answer an export's questions here, greedily, and compare with what the harness logged."""
    from thinklab import harness
    for agreement in harness.check(out, print):
        print(agreement)
        for item in agreement.differing[:5]:
            print(f"  {item['id']}: gold {item['gold']!r}, {item['grade']} here on {item['ours'][-60:]!r}, "
                  f"{item['harness_grade']} there "
                  f"on {item['harness'][-60:]!r}")
