"""``pack`` and ``unpack``: the raw files behind a study's table as one small ``.tar.xz``, to publish and rebuild it.

Per finished run: its config, metrics, alarms, and probe with every probed answer. Rollouts, token traces, and weights are left out.
Most answers before training are the same in all runs, so xz needs little more space for many runs than for one.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from thinklab.errors import RunError
from thinklab.studies.study import Cell

RAW = ("config.yaml", "metrics.jsonl", "alarms.jsonl", "probe.json", "probe_samples.jsonl", "usage.json")
"""Files of a run that its lines in the tables are computed from, where it has them."""
SUMS = "SHA256SUMS.json"


STUDENTS = b"@OUT@/students/"
"""In a packed config, where the study's own students are; unpacking puts the new folder in its place."""


def pack(cells: Sequence[Cell], out: Path, archive: Path) -> int:
    """Write the raw files of every finished run of ``cells`` below ``out`` into ``archive``; returns the number of runs.

    The same runs give the same bytes: names are sorted, and times and owners are left out.

    Raises:
        RunError: if no run is finished.
    """
    finished = [cell for cell in cells if cell.state() == "finished"]
    if not finished:
        raise RunError(f"no run in {out} is finished, so there is nothing to pack")
    files = sorted(f for cell in finished for name in _names(cell.folder) if (f := cell.folder / name).exists())
    sums: dict[str, str] = {}
    temporary = archive.with_name(f"{archive.name}.part")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(temporary, "w:xz", preset=9) as tar:
        for file in files:
            name, content = str(PurePosixPath(file.relative_to(out))), file.read_bytes()
            if file.name == "config.yaml":
                content = content.replace(f"{out.resolve()}/students/".encode(), STUDENTS)
            sums[name] = hashlib.sha256(content).hexdigest()
            _add(tar, name, content)
        _add(tar, SUMS, json.dumps(sums, indent=1).encode())
    temporary.replace(archive)
    return len(finished)


def _names(run: Path) -> tuple[str, ...]:
    return (*RAW, *(f"prime/{name}" for name in RAW))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))


def unpack(archive: Path, out: Path) -> int:
    """Unpack ``archive`` into the empty or new folder ``out``, after which the study's table can be built from there; returns the
    number of files.

    Raises:
        RunError: if ``out`` holds something, or a file does not have the hash that the archive records.
    """
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; name a new folder for the raw files of {archive}")
    try:
        with tarfile.open(archive, "r:xz") as tar:
            tar.extractall(out, filter="data")  # nothing outside of ``out``, no links to elsewhere, no devices
        sums = json.loads((out / SUMS).read_text("utf-8"))
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise RunError(f"{archive} is not an archive of a study's raw files, or is damaged: {error}") from error
    found = {str(PurePosixPath(f.relative_to(out))) for f in out.rglob("*") if f.is_file()} - {SUMS}
    for name in sorted(found | set(sums)):
        if name not in sums or name not in found or hashlib.sha256((out / name).read_bytes()).hexdigest() != sums[name]:
            raise RunError(f"{archive}: {name} is not the file that was packed")
    for name in found:
        if name.endswith("config.yaml"):
            file = out / name
            file.write_bytes(file.read_bytes().replace(STUDENTS, f"{out.resolve()}/students/".encode()))
    return len(found)
