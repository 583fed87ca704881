"""``out_of_range``: installed packages outside the versions that thinklab declares; ``warn_once`` at the start.

From the packages' metadata alone: nothing is imported, so the check works where an import would already fail.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

TESTED = ("transformers", "trl", "peft", "accelerate")
"""``make test-matrix`` runs the tests of the method at the lower and the upper end of their ranges."""


@dataclass(frozen=True)
class OutOfRange:
    """A package whose installed version is outside the declared range."""

    package: str
    installed: str
    range: str
    """Such as ``>=1.14.2,<1.17``."""
    extra: bool = False
    """The range is that of an extra, whose versions fit each other exactly."""

    def __str__(self) -> str:
        return f"{self.package} {self.installed} ({'tested' if self.package in TESTED else 'supported'}: {self.range})"

    @property
    def wanted(self) -> str:
        return f"'{self.package}{self.range}'"


def requirements(extras: Iterable[str] = ()) -> Iterator[tuple[Requirement, str | None, bool]]:
    """What thinklab and its ``extras`` require here, the installed version of each, and whether it is required by an extra."""
    try:
        lines = metadata.requires("thinklab") or []
    except metadata.PackageNotFoundError:  # the sources alone, on the module path
        return
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        core = marker is None or marker.evaluate({"extra": ""})
        if core or any(marker and marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement, _installed(requirement.name), not core


def out_of_range(extras: Iterable[str] = ()) -> list[OutOfRange]:
    """The installed packages of thinklab and its ``extras`` that are outside their ranges; missing ones are not among them."""
    return [
        OutOfRange(required.name, have, range_text(required), extra)
        for required, have, extra in requirements(extras)
        if have is not None and not _contains(required, have)
    ]


def range_text(required: Requirement) -> str:
    """``>=1.14.2,<1.17``: the lower bound first."""
    return ",".join(sorted(map(str, required.specifier), reverse=True))


@cache
def warn_once() -> None:
    """Name them on stderr; only the first call of a process does."""
    if found := out_of_range():
        print(
            f"thinklab {metadata.version('thinklab')} is not tested with {', '.join(map(str, found))}. "
            f"If something fails: pip install {' '.join(one.wanted for one in found)}",
            file=sys.stderr,
        )


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _contains(required: Requirement, version: str) -> bool:
    try:
        return required.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return False
