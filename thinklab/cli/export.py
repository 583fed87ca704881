"""``thinklab save`` and ``thinklab push``: arguments and printing; the work is done in ``export/export.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional, cast

import typer
from rich.console import Console

from thinklab.students import unsloth_first


def save(
    run: Annotated[Path, typer.Argument(help="A run folder; its last checkpoint is exported.")],
    kind: Annotated[str, typer.Option("--as", help="adapter, merged or gguf.")] = "adapter",
    out: Annotated[Optional[Path], typer.Option(help="Output folder; default RUN/export/KIND.")] = None,  # noqa: UP045
    quantization: Annotated[str, typer.Option(help="gguf only: a quantization name of Unsloth.")] = "q4_k_m",
) -> None:
    """Write the trained student of RUN into a folder, with a model card."""
    if kind == "gguf":
        unsloth_first.import_first_for(run)
    from thinklab.export.export import Kind
    from thinklab.export.export import save as write

    print(write(run, cast(Kind, kind), out, quantization=quantization))  # rejects an unknown kind


def push(
    folder: Annotated[Path, typer.Argument(help="A folder written by `thinklab save`.")],
    repo: Annotated[str, typer.Argument(help="owner/name on the Hugging Face Hub.")],
    public: Annotated[bool, typer.Option("--public", help="Make the repository public; default: private.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
) -> None:
    """Upload FOLDER to the Hugging Face Hub as REPO, after listing the files and asking for confirmation."""
    from thinklab.export.export import push as upload

    console = Console(stderr=True, highlight=False)

    def ask(question: str) -> bool:
        console.print(question, markup=False, soft_wrap=True)
        return yes or typer.confirm("Upload?", default=False)

    address = upload(folder, repo, private=not public, ask=ask)
    print(address or "nothing was uploaded")
