"""``Row``, ``Source``: questions from JSONL, JSON, Parquet, or the Hub; errors about missing columns.

The single place for error messages about unusable files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from thinklab.errors import TaskError, did_you_mean
from thinklab.interop.strict_json import LONGEST_NUMBER, loads
from thinklab.types import Example

SUFFIXES = (".jsonl", ".json", ".parquet")
Where = str | Path | Mapping[str, str | Path] | None


@dataclass(frozen=True)
class Row:
    """One row and its position."""

    data: Mapping[str, Any]
    where: str
    """``train.jsonl:17``; for files without lines and for the Hub the number of the row."""
    id: str
    """``<task>-<file or Hub split>-<number from 0>``, so a question keeps its id under every split name. Files of the same
    name in two folders are distinguished by their folders."""

    def __getitem__(self, column: str) -> Any:
        return self.data[column]

    def check(self, column: str) -> None:
        """Reject numbers that cannot be answers: NaN (often an empty cell of a table), infinity, thousands of digits."""
        value = self[column]
        if isinstance(value, float) and not math.isfinite(value):
            self.fail(f"column {column!r} is {value}, which is not a number; fill in the cell or remove the row")
        if isinstance(value, int) and abs(value) >= 10**LONGEST_NUMBER:
            self.fail(f"column {column!r} is a number of more than {LONGEST_NUMBER:,} digits; write it as text")

    def text(self, column: str) -> str:
        """A column that must contain non-empty text."""
        value = self[column]
        if not isinstance(value, str) or not value.strip():
            self.fail(f"column {column!r} must be a non-empty text, not {shown(value)}")
        return value.strip()

    def extra(self, *columns: str) -> dict[str, Any]:
        """Those of ``columns`` that the row has."""
        return {column: self.data[column] for column in columns if column in self.data}

    def fail(self, what: str) -> NoReturn:
        raise TaskError(f"{self.where}: {what}")


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True)
class Source:
    """The location and row format of a data set."""

    name: str
    """The task's name, for messages and ids."""
    hub: str
    """Its id on the Hugging Face Hub; empty if it has none."""
    config: str | None
    splits: Mapping[str, str]
    """The names of ``train`` and ``test`` on the Hub; a missing split is left out."""
    columns: tuple[str, ...]
    """The columns that every row must have."""
    revision: str | None = None
    """A branch, tag or commit of the data set."""


def loader(
    source: Source,
    example: Callable[[Row], Example],
    path: Where = None,
    split: Where = None,
) -> Callable[[str], Sequence[Example]]:
    """A ``Task.load`` for ``source``: from ``path`` if given, else from the Hub.

    Args:
        path: a ``.jsonl``, ``.json`` or ``.parquet`` file (it then serves *every* split name), a folder with
            one such file per split, or ``{"train": file, "test": file}``.
        split: another name for the split on the Hub (or of the file in the folder), for all splits or as
            ``{"test": "validation"}``.
    """
    if not isinstance(path, Mapping | str | Path | None):
        raise TaskError(f"task.path must be a file, a folder or {{train: file, test: file}}, not {shown(path)}")

    @lru_cache
    def load(asked: str) -> tuple[Example, ...]:
        names = _stored_names(source, asked, split, local=path is not None)
        if path is None:
            rows = _hub_rows(source, names[-1])
        else:
            file = _file(path, asked, names)
            others = _other_files(source, path, split, asked)
            rows = _file_rows(source, file, _label(file, others))
        examples = []
        for row in rows:
            for column in source.columns:
                if column not in row.data:
                    row.fail(
                        f"no column {column!r}; the task {source.name!r} expects {', '.join(source.columns)}; "
                        f"found {', '.join(map(str, row.data)) or 'none'}"
                    )
                row.check(column)
            examples.append(example(row))
        return tuple(examples)

    return load


def _stored_names(source: Source, asked: str, split: Where, local: bool) -> tuple[str, ...]:
    """What the split may be called where it is stored; the last one is the Hub's name."""
    chosen = split.get(asked) if isinstance(split, Mapping) else split
    if chosen is not None:
        return (str(chosen),)
    if asked in source.splits:
        return (asked, source.splits[asked])
    if local or not source.splits:
        return (asked,)
    raise TaskError(
        f"the task {source.name!r} has no split {asked!r}{did_you_mean(asked, source.splits)}; it has "
        f"{', '.join(source.splits)}. Pass task.path for a file of your own"
    )


def _file(path: Where, asked: str, stems: Sequence[str]) -> Path:
    if isinstance(path, Mapping):
        if asked not in path:
            raise TaskError(f"task.path has no file for the split {asked!r}, only for {', '.join(path) or 'none'}; add one")
        path = path[asked]
    assert path is not None, "without a path the rows come from the Hub"
    try:
        file = Path(path).expanduser()
        if file.is_dir():
            names = [file / f"{stem}{suffix}" for stem in dict.fromkeys(stems) for suffix in SUFFIXES]
            if not (there := [n for n in names if n.is_file()]):
                raise TaskError(f"{path}: a folder without {' or '.join(n.name for n in names)}")
            file = there[0]
        if not file.is_file():
            raise TaskError(f"{file}: no such file; task.path must name a {', '.join(SUFFIXES)} file")
    except (OSError, ValueError, RuntimeError) as e:  # a name that is too long, a zero byte, an unknown ~user
        if isinstance(e, TaskError):
            raise
        raise TaskError(f"task.path {shown(str(path))} cannot be read: {getattr(e, 'strerror', None) or e}") from e
    return file


def _other_files(source: Source, path: Where, split: Where, asked: str) -> list[Path]:
    """The files of the other splits, if ``path`` has one for each."""
    found = []
    for other in path if isinstance(path, Mapping) else ():
        if other != asked:
            with suppress(TaskError):  # reported when that split is requested
                found.append(_file(path, other, _stored_names(source, other, split, local=True)))
    return found


def _label(file: Path, others: Sequence[Path]) -> str:
    """The file's name for ids: its stem, with enough parent folders to distinguish it from ``others``."""
    parts = file.resolve().with_suffix("").parts
    other_parts = {p.resolve().with_suffix("").parts for p in others if p.resolve() != file.resolve()}
    for length in range(1, len(parts) + 1):
        if all(p[-length:] != parts[-length:] for p in other_parts):
            return "-".join(parts[-length:])
    return file.name  # q.jsonl and q.json in one folder


def _file_rows(source: Source, file: Path, label: str) -> Iterator[Row]:
    readers = {".jsonl": _jsonl, ".json": _json, ".parquet": _parquet}
    if file.suffix not in readers:
        raise TaskError(
            f"{file}: cannot read {file.suffix or 'a file without an ending'}; it must be one of {', '.join(SUFFIXES)}"
        )
    number = -1
    try:
        for number, (where, data) in enumerate(readers[file.suffix](file)):
            if not isinstance(data, dict):
                raise TaskError(f"{where}: every row must be an object of columns, not {shown(data)}")
            yield Row(data, where, f"{source.name}-{label}-{number}")
    except (OSError, UnicodeDecodeError) as e:
        raise TaskError(f"{file}: cannot be read: {e}") from e
    if number < 0:
        raise TaskError(f"{file}: it has no rows; the task {source.name!r} expects {', '.join(source.columns)}")


def _jsonl(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{file}:{number}", _parsed(file, line, number)


def _json(file: Path) -> Iterator[tuple[str, Any]]:
    rows = _parsed(file, file.read_text(encoding="utf-8-sig"), 1)
    if not isinstance(rows, list):
        raise TaskError(f"{file}: a .json file must contain a list of rows; use a .jsonl file for one object per line")
    return ((f"{file}: row {k}", row) for k, row in enumerate(rows, 1))


def _parsed(file: Path, text: str, line: int) -> Any:
    try:
        return loads(text)
    except json.JSONDecodeError as e:
        raise TaskError(f"{file}:{line + e.lineno - 1}:{e.colno}: not JSON: {e.msg}") from e


def _parquet(file: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(file).to_pylist()
    except pyarrow.ArrowException as e:
        raise TaskError(f"{file}: not a parquet file: {e}") from e
    return ((f"{file}: row {k}", row) for k, row in enumerate(rows, 1))


def _hub_rows(source: Source, split: str) -> Iterable[Row]:
    """Rows from the Hub, or from a local folder in its form. Not tested against the real Hub, because the project's tests have no
    network; the library is tested with local folders."""
    if not source.hub:
        raise TaskError(f"the task {source.name!r} reads a local file; pass task.path")
    import datasets

    local = Path(source.hub).expanduser()
    where, advice = (
        (str(local), "")
        if local.is_dir()
        else (
            f"{source.hub} ({split}) from the Hugging Face Hub",
            f". Offline, or no access? Pass task.path, a local file{' with the columns ' + ', '.join(source.columns) if source.columns else ''}",
        )
    )
    try:
        if (local / "dataset_dict.json").is_file():
            saved = datasets.load_from_disk(str(local))
            if split not in saved:
                raise ValueError(f"Unknown split {split!r}. Should be one of {list(saved)}.")
            rows = saved[split]
        else:
            rows = datasets.load_dataset(source.hub, source.config, split=split, revision=source.revision)
    except Exception as e:  # the Hub's client raises a dozen error types without a common base
        said = str(e).strip().splitlines()[0] if str(e).strip() else "no message"
        if isinstance(e, ValueError) and "split" in said and "hould be one of" in said:
            raise TaskError(
                f"{source.hub}: {said.rstrip('.')}. Set task.split, such as task.split: {{train: train, test: validation}}; with one "
                "split for both, a tenth of its questions is held out"
            ) from e
        raise TaskError(f"cannot load {where}: {type(e).__name__}: {said}{advice}") from e
    return [Row(row, f"{source.hub} ({split}) row {k}", f"{source.name}-{split}-{k}") for k, row in enumerate(rows)]
