"""``export_folder``: pages and data of all runs as one static folder; replaces an earlier export atomically.

It also opens from disk.

    DIR/index.html         open this
    DIR/assets/            plotly.js, the style sheets, and the replacement for the server
    DIR/data/N.js          one API response each; as scripts, because a page opened from disk cannot load anything else

The pages are those of the server: the same modules send the same requests, and the responses were written beforehand.
Searching the rollouts happens in the browser, over the exported ones.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thinklab.errors import ConfigError, RunError, ThinklabError
from thinklab.run.lock import LOCK, FolderLock
from thinklab.view import assets
from thinklab.view.app import Data, finite
from thinklab.view.library import ListedRun
from thinklab.view.rollouts import MOST, Wanted

MARK = "thinklab-view-export.txt"
"""A marker in every export, so that a new export may replace it but nothing else is overwritten."""


def export_folder(root: Path, out: Path, rollouts: int = 2000, say: Callable[[str], None] = lambda text: None) -> Path:
    """Write the folder; returns its ``index.html``.

    Args:
        root: a run folder, or a folder of them.
        rollouts: how many of the newest rollouts of each run are included.

    Raises:
        RunError: when there is no run, or the folder cannot be written.
        ConfigError: if ``out`` contains anything but an export, or the extra is not installed.
    """
    from thinklab.view import check_installed

    check_installed()
    data, out = Data(Path(root)), Path(out)
    runs = data.library.runs()
    if not runs and not data.grids():
        raise RunError(f"{root} contains no run: there is no config.yaml in it or below")
    _check_replaceable(out)
    mine = secrets.token_hex(4)  # another export may be writing for the same folder
    part, old = (out.with_name(f"{out.name}.{mine}.{end}") for end in ("part", "old"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(out)
        part.mkdir()
        with FolderLock(part):  # says to other exports that it is not left over
            _Writer(part, data, rollouts, say).write()
            _put(part, out, old)
    except OSError as error:
        if isinstance(error, ThinklabError):
            raise
        raise RunError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out / "index.html"


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise ConfigError(f"{folder} is not empty and not an export of the viewer; choose another folder")


def _remove_leftovers(out: Path) -> None:
    """What killed exports to ``out`` have left. A locked folder is at work; one without a lock file is about to be put in place."""
    for part in out.parent.iterdir():
        if not re.fullmatch(rf"{re.escape(out.name)}\.[0-9a-f]{{8}}\.part", part.name) or not (part / LOCK).is_file():
            continue
        try:
            lock = FolderLock(part)
        except RunError:
            continue
        with lock:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(part.with_suffix(".old"), ignore_errors=True)


def _put(part: Path, out: Path, old: Path) -> None:
    """``part`` in place of ``out``, whole at any moment; of several exports at once the last one stays."""
    while True:
        try:
            os.rename(out, old)
        except FileNotFoundError:
            pass
        else:
            try:
                _check_replaceable(old)
            except ConfigError:
                os.rename(old, out)
                raise
            shutil.rmtree(old)
        (part / LOCK).unlink(missing_ok=True)
        try:
            os.rename(part, out)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise  # else another export has put its folder there in between, which is replaced in turn


class _Writer:
    """Writes the responses of ``data`` to every request that the pages may send."""

    def __init__(self, out: Path, data: Data, rollouts: int, say: Callable[[str], None]):
        self.out, self.data, self.rollouts, self.say = out, data, rollouts, say
        self.index: dict[str, int] = {}

    def write(self) -> None:
        (self.out / "data").mkdir(parents=True)
        (self.out / "assets").mkdir()
        listed = self.data.runs()
        for line in listed["runs"]:
            line.pop("review", None)  # an address on this machine, with its token
            if line["status"] in ("running", "in review"):
                line["status"] = "stopped"  # it was running when this was written
        self._keep("runs", {}, listed)
        good = [line["id"] for line in listed["runs"] if "error" not in line]
        for id in good:
            self._run(id)
        # all pairs would grow with the square of the runs: a pair's page is built from two runs' files, up to a limit
        pairs = [(a, b) for k, a in enumerate(good) for b in good[k + 1 :]] if len(good) <= 8 else []
        for a, b in [*pairs, *((b, a) for a, b in pairs)]:
            self._keep("compare", {"a": a, "b": b}, self.data.compare(a, b))
            self._keep("figures", {"run": [a, b]}, self.data.figures([a, b]))
            self._keep("answers", {"run": [a, b]}, self.data.answers([a, b], "", 0, 10**6))
        self._keep("grids", {}, grids := self.data.grids())
        for g in grids:
            self._keep("grid", {"id": g["id"]}, self.data.grid(g["id"]))
        self._pages()

    def _run(self, id: str) -> None:
        run = self.data.library.run(id)
        found = self.data.run(id)
        found["summary"].pop("review", None)
        self._keep("run", {"run": id}, found)
        self._keep("figures", {"run": id}, self.data.figures([id]))
        self._keep("probe", {"run": id}, self.data.probe(id))
        self._keep("answers", {"run": id}, self.data.answers([id], "", 0, 10**6))
        self._rollouts(id, run)

    def _rollouts(self, id: str, run: ListedRun) -> None:
        index = self.data.indexes.of(run.folder.path)
        index.extend()
        rows: list[dict[str, Any]] = []
        while len(rows) < min(self.rollouts, len(index)):
            page = index.page(Wanted(), len(rows), min(MOST, self.rollouts - len(rows)), float("inf"))
            rows += page["rows"]
        whole = index.page(Wanted(), 0, 1, float("inf"))
        cut = len(index) if len(rows) < len(index) else 0
        self._keep(
            "rollouts",
            {"run": id},
            {"rows": rows, "all": len(rows), "cut": cut, "facets": whole["facets"], "damaged": whole["damaged"]},
        )
        for first in range(0, len(rows), MOST):
            chunk = {r["id"]: self.data.rollout(id, r["id"]) for r in rows[first : first + MOST]}
            self._keep("rollout", {"run": id, "chunk": first // MOST}, chunk)
        self.say(f"{id}: {len(rows)} of {len(index)} rollouts")

    def _keep(self, name: str, params: dict[str, Any], answer: Any) -> None:
        number = len(self.index)
        self.index[key(name, params)] = number
        text = json.dumps(finite(answer), ensure_ascii=False, separators=(",", ":"))
        (self.out / "data" / f"{number}.js").write_text(f"thinklabExport.take({number}, {text});\n", "utf-8", "replace")

    def _pages(self) -> None:
        addresses = {
            name: f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"
            for name, text in assets.modules().items()
        }
        store = (assets.STATIC / "export" / "store.js").read_text("utf-8")
        (self.out / "assets" / "store.js").write_text(f"{store}\nthinklabExport.index = {json.dumps(self.index)};\n", "utf-8")
        (self.out / "assets" / "plotly.js").write_text(assets.plotly(), "utf-8")
        (self.out / "assets" / "view.css").write_text(assets.style(), "utf-8")
        (self.out / "assets" / "theme.js").write_text((assets.STATIC / "theme.js").read_text("utf-8"), "utf-8")
        text, imports = assets.page(addresses, "assets/", '<script src="assets/store.js"></script>\n')
        policy = (
            f"default-src 'none'; script-src 'self' file: data: {imports}; style-src 'self' file:; img-src 'self' data:; "
            "base-uri 'none'; form-action 'none'"
        )
        charset = '<meta charset="utf-8">'
        text = text.replace(charset, f'{charset}\n<meta http-equiv="Content-Security-Policy" content="{policy}">')
        (self.out / "index.html").write_text(text, "utf-8")
        (self.out / MARK).write_text("Written by `thinklab view --export`; open index.html.\n", "utf-8")


def key(name: str, params: dict[str, Any]) -> str:
    """The key of a response in the pages, as in ``store.js``."""
    return json.dumps(
        [name, {k: v if isinstance(v, list) else str(v) for k, v in sorted(params.items())}],
        separators=(",", ":"),
        ensure_ascii=False,
    )
