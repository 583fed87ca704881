"""``Pack``: folders of behavior files that were shown and accepted (pinned by SHA-256), or that packages bring."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from thinklab.config.strict_yaml import clip
from thinklab.errors import BehaviorError, did_you_mean

GROUP = "thinklab.behavior_packs"
"""Entry points of installed packages: a name, and the package whose folder has the files, such as ``my_pack.behaviors``."""
ABOUT = "pack.yaml"
"""The file in a pack that describes it; every other YAML file is a behavior."""


@dataclass(frozen=True)
class Pack:
    """A pack that behaviors can be taken from."""

    name: str
    folder: Path
    source: str
    """Where it came from: a path, ``hub:org/pack``, or the installed package."""
    revision: str = ""
    """The commit on the hub."""
    pins: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each accepted file by its name; empty for an installed package, which its installer checks."""

    @property
    def behaviors(self) -> dict[str, Path]:
        """Name -> file, without reading them."""
        names = sorted(self.pins) if self.pins else sorted(p.name for p in self.folder.glob("*.y*ml"))
        return {Path(name).stem: self.folder / name for name in names if name != ABOUT}

    def check(self) -> None:
        """Compare every file with what was accepted.

        Raises:
            BehaviorError: one was changed, added, or removed since.
        """
        if not self.pins:
            return
        there = digests(self.folder)
        changed = sorted(name for name in {*there, *self.pins} if there.get(name) != self.pins.get(name))
        if changed:
            raise BehaviorError(
                f"{self.folder / changed[0]}: this file of the behavior pack {self.name!r} is not the one that was accepted from "
                f"{self.source}; see what differs and accept it with: thinklab behaviors add {self.folder} --name {self.name}, or "
                f"remove the pack with: thinklab behaviors remove {self.name}"
            )


def data_folder() -> Path:
    """``$XDG_DATA_HOME/thinklab``, or the same under ``~/.local/share``."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "thinklab"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each YAML file of ``folder``, by name."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.y*ml")) if p.is_file()}


def accepted_packs() -> dict[str, Pack]:
    """The packs that were added on this machine.

    Raises:
        BehaviorError: the list of them cannot be read.
    """
    file = data_folder() / "packs.json"
    try:
        told = json.loads(file.read_text("utf-8"))
        return {name: Pack(name, data_folder() / "packs" / name, **entry) for name, entry in told.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BehaviorError(
            f"{file}: the list of behavior packs cannot be read ({error}); move it away and add them again"
        ) from None


def installed_packs() -> dict[str, Pack]:
    """The packs of installed packages. Their folders are located; nothing in them is executed."""
    found = {}
    for point in entry_points(group=GROUP):
        try:
            spec = find_spec(point.value)
        except (ImportError, ValueError):
            continue
        for folder in (spec.submodule_search_locations or []) if spec else []:
            version = f" {point.dist.version}" if point.dist else ""
            found[point.name] = Pack(point.name, Path(folder), f"{point.dist.name if point.dist else point.value}{version}")
    return found


def all_packs() -> Iterator[Pack]:
    """Those of installed packages, then the accepted ones."""
    yield from installed_packs().values()
    yield from accepted_packs().values()


def in_packs(name: str) -> Path | None:
    """The file of the behavior ``NAME`` or ``PACK:NAME`` in a pack; None if no pack has it.

    Raises:
        BehaviorError: two packs have it, a pack has no such behavior, or its files are not those that were accepted.
    """
    pack_name, colon, behavior = name.rpartition(":")
    packs = [p for p in all_packs() if not colon or p.name == pack_name]
    if colon and not packs:
        known = ", ".join(p.name for p in all_packs()) or "none"
        raise BehaviorError(f"no behavior pack {clip(pack_name)} for {clip(name)}; there are: {known}")
    having = [p for p in packs if behavior in p.behaviors]
    if colon and not having:
        there = packs[0].behaviors
        raise BehaviorError(
            f"the pack {pack_name!r} has no behavior {clip(behavior)}{did_you_mean(behavior, there)}; it has {', '.join(there)}"
        )
    if len(having) > 1:
        raise BehaviorError(
            f"the packs {' and '.join(p.name for p in having)} have a behavior {name!r}: write {having[0].name}:{name}"
        )
    if not having:
        return None
    having[0].check()
    return having[0].behaviors[behavior]


def write_accepted(packs: dict[str, Pack]) -> None:
    """Replace the list of accepted packs, in one step."""
    file = data_folder() / "packs.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    entries = {n: {k: v for k, v in asdict(p).items() if k not in ("name", "folder")} for n, p in packs.items()}
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", "utf-8")
    temporary.replace(file)
