"""``thinklab behaviors add, remove``: show a pack in full, ask, pin it."""

from __future__ import annotations

from typing import Annotated

import typer

from thinklab.behavior.pack_source import accept, find_pack, remove, shown
from thinklab.config.packs import accepted_packs
from thinklab.config.shipped import shipped
from thinklab.errors import BehaviorError


def add(
    source: Annotated[str, typer.Argument(help="A folder of behavior files, one such file, or hub:ORG/PACK[@REVISION].")],
    name: Annotated[str, typer.Option(help="What to call the pack here; default: as it calls itself.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Accept without a question, after everything was printed.")] = False,
) -> None:
    """Add a pack of behaviors: prints every file in full, and copies and pins them once you accept.

    Nothing in a pack is executed. Later changes to the copy, or at its source, have no effect until they are shown and accepted.
    """
    try:
        found = find_pack(source, name)
        known = accepted_packs().get(found.name)
    except BehaviorError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    text = shown(found, known)
    if known is not None and not text:
        typer.echo(f"the pack {found.name!r} is already here with these files")
        return
    typer.echo(text)
    at = f" at commit {found.revision}" if found.revision else ""
    typer.echo(f"\n{found.name}: {len(found.behaviors)} behaviors from {found.source}{at}")
    for behavior in found.behaviors:
        hidden = f" (as {found.name}:{behavior.name}, because thinklab ships another one)" if behavior.name in shipped() else ""
        typer.echo(f"  {behavior.name}: {behavior.title}, hash {behavior.hash}{hidden}")
    if not yes and not typer.confirm("These texts go to your teacher and your student. Accept them?"):
        typer.echo("nothing was added")
        raise typer.Exit(1)
    typer.echo(f"added to {accept(found).folder}")


def drop(name: Annotated[str, typer.Argument(help="Name of the pack.")]) -> None:
    """Remove a pack that was added."""
    try:
        remove(name)
    except BehaviorError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(f"removed {name}")
