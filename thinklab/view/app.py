"""``create_app``: the viewer's routes and JSON API; ``Data`` builds each response from records.

``GET /api/...?run=ID`` reads, ``POST /api/review...`` decides. Errors are ``{"error": text}`` with status 400 or 404.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from thinklab.errors import ConfigError, ReviewError, RunError, ThinklabError
from thinklab.view import assets, grids, measured
from thinklab.view.access import HOSTS, Access
from thinklab.view.batch import Desk
from thinklab.view.library import REVIEW, Library, ListedRun
from thinklab.view.lines import LineIndex
from thinklab.view.rollouts import Indexes, Wanted


class Traces(LineIndex):
    """Lines of ``tokens.jsonl`` by rollout."""

    def clear(self) -> None:
        super().clear()
        self.of: dict[str, int] = {}

    def add(self, number: int, record: dict[str, Any]) -> None:
        self.of[str(record["rollout"])] = number


class Data:
    """The API's responses, independent of HTTP, so that an export can use them."""

    def __init__(self, root: Path):
        self.library, self.indexes = Library(root), Indexes()
        self._traces: dict[Path, Traces] = {}

    def runs(self) -> dict[str, Any]:
        return {
            "root": self.library.root.name or str(self.library.root),
            "runs": [self._with_link(run) for run in self.library.runs().values()],
        }

    def _with_link(self, run: ListedRun) -> dict[str, Any]:
        line = run.summary()
        if line["status"] == "in review":
            try:
                line["review"] = (run.folder.read_json(REVIEW) or {}).get("url", "")
            except RunError:
                pass
        return line

    def run(self, id: str) -> dict[str, Any]:
        run = self.library.run(id)
        resolved = run.folder.resolved()
        return {
            "summary": self._with_link(run),
            "config": resolved["config"],
            "hashes": {**resolved["behaviors"], **resolved.get("own_code", {})},
            "versions": resolved["versions"],
            "alarms": run.lines("alarms"),
        }

    def figures(self, ids: list[str]) -> list[dict[str, Any]]:
        return measured.figures(self._named(ids))

    def _named(self, ids: list[str]) -> dict[str, ListedRun]:
        runs = [self.library.run(id) for id in ids]
        names = [run.folder.path.name if run.id == "." else run.id for run in runs]
        return dict(zip(names, runs, strict=True))

    def rollouts(self, id: str, wanted: Wanted, first: int, count: int) -> dict[str, Any]:
        return self.indexes.of(self.library.run(id).folder.path).page(wanted, first, count)

    def rollout(self, id: str, rollout: str) -> dict[str, Any]:
        """One rollout, the others of its group, and its tokens if traced.

        Raises:
            RunError: if there is no such rollout.
        """
        run = self.library.run(id)
        index = self.indexes.of(run.folder.path)
        number = index.find(rollout)
        if number is None:
            raise RunError(f"{run.id} has no rollout {rollout!r}")
        with index.lock:
            group = index.records(index.group_of(number))
            (record,) = index.records([number])
        return {
            "rollout": _shown(record),
            "group": list(map(_shown, group)),
            "tokens": self._tokens(run, rollout),
            "lengths": {part: len(record.get(f"{part}_ids") or ()) for part in ("student", "teacher")},
        }

    def _tokens(self, run: ListedRun, rollout: str) -> list[dict[str, Any]] | None:
        folder = run.folder.path
        traces = self._traces.setdefault(folder, Traces(folder / "tokens.jsonl"))
        with traces.lock:
            traces.extend()
            if rollout not in traces.of:
                return None
            return measured.tokens(traces.records([traces.of[rollout]])[0])

    def probe(self, id: str) -> dict[str, Any]:
        return measured.probe(self.library.run(id))

    def answers(self, ids: list[str], text: str, first: int, count: int) -> dict[str, Any]:
        return measured.answers(self._named(ids), text, first, count)

    def compare(self, a: str, b: str) -> dict[str, Any]:
        one, other = self.library.run(a), self.library.run(b)
        return {
            "names": list(self._named([a, b])),
            "summaries": [one.summary(), other.summary()],
            "probes": [measured.probe(one), measured.probe(other)],
            "config": measured.config_difference(one, other),
        }

    def grids(self) -> list[dict[str, str]]:
        return [{"id": id, "kind": g["kind"], "name": g["name"]} for id, g in grids.found(self.library.root).items()]

    def grid(self, id: str) -> dict[str, Any]:
        """Raises RunError if there is no study or evaluation with that id."""
        there = grids.found(self.library.root)
        if id not in there:
            raise RunError(f"there is no study or evaluation {id!r}")
        g = there[id]
        return {"id": id, "kind": g["kind"], "name": g["name"], **grids.grid(g["kind"], g["folder"])}


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    """A rollout without its token ids."""
    return {key: value for key, value in record.items() if key not in ("prompt_ids", "student_ids", "teacher_ids")}


def create_app(root: Path, token: str, port: int = 0, desk: Desk | None = None) -> Starlette:
    """The whole application.

    Args:
        root: a run folder, or a folder of them.
        port: names the cookie.
        desk: where a training run in this process puts batches for review; None: read-only.
    """
    data = Data(root)
    addresses = {name: f"/static/{name}" for name in assets.modules()}
    text, imports = assets.page(addresses)
    files = assets.served()

    def index(request: Request) -> Response:
        return Response(text, media_type="text/html")

    def static(request: Request) -> Response:
        path = request.url.path
        if path == "/static/plotly.js":
            return Response(assets.plotly(), media_type="text/javascript", headers={"Cache-Control": "private, max-age=3600"})
        if path not in files:  # looked up by name, never used as a path
            return JSONResponse({"error": "there is no such file"}, 404)
        kind, found = files[path]
        return Response(found, media_type=kind)

    q = _Query
    reads: dict[str, Callable[[_Query], Any]] = {
        "runs": lambda p: data.runs(),
        "run": lambda p: data.run(p["run"]),
        "figures": lambda p: data.figures(p.all("run")),
        "rollouts": lambda p: data.rollouts(p["run"], Wanted.of(p.values), p.number("first", 0), p.number("count", 50)),
        "rollout": lambda p: data.rollout(p["run"], p["id"]),
        "probe": lambda p: data.probe(p["run"]),
        "answers": lambda p: data.answers(p.all("run"), p.values.get("text", ""), p.number("first", 0), p.number("count", 20)),
        "compare": lambda p: data.compare(p["a"], p["b"]),
        "grids": lambda p: data.grids(),
        "grid": lambda p: data.grid(p["id"]),
        "review": lambda p: (
            {"open": False, "here": False}
            if desk is None
            else desk.state(p.values.get("name", ""), p.values.get("batch", ""), p.number("since", 0))
        ),
    }

    def route(name: str, read: Callable[[_Query], Any]) -> Route:
        return Route(f"/api/{name}", lambda request: _answer(lambda: read(q(request))), methods=["GET"])

    async def decide(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        if desk is None:
            return JSONResponse({"error": "no training run is waiting for a review here"}, 404)
        try:
            sent = await request.json()
        except ValueError:
            return JSONResponse({"error": "the request is not valid JSON"}, 400)
        return await run_in_threadpool(_answer, lambda: desk.heard(sent))

    return Starlette(
        routes=[
            Route("/", index),
            Route("/static/{name:path}", static),
            *(route(n, r) for n, r in reads.items()),
            Route("/api/review", decide, methods=["POST"]),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS),
            Middleware(Access, token=token, cookie=f"thinklab-{port}", policy=assets.policy(imports)),
            Middleware(GZipMiddleware, minimum_size=20_000, compresslevel=1),
        ],
    )


class _Query:
    """The parameters of a URL."""

    def __init__(self, request: Request):
        self.values = dict(request.query_params)
        self._request = request

    def __getitem__(self, name: str) -> str:
        if name not in self.values:
            raise ConfigError(f"the parameter {name!r} is missing")
        return self.values[name]

    def all(self, name: str) -> list[str]:
        if not (found := self._request.query_params.getlist(name)):
            raise ConfigError(f"the parameter {name!r} is missing")
        return found

    def number(self, name: str, default: int) -> int:
        try:
            return min(max(0, int(self.values.get(name) or default)), 10**9)
        except ValueError:
            raise ConfigError(f"{name} must be a whole number, not {self.values[name]!r}") from None


class StrictJSON(JSONResponse):
    """JSON that a browser can read: non-finite numbers become null."""

    def render(self, content: Any) -> bytes:
        try:
            return super().render(content)
        except ValueError:
            return super().render(finite(content))


def finite(value: Any) -> Any:
    """``value`` with null for NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    return [finite(v) for v in value] if isinstance(value, list | tuple) else value


def _answer(read: Callable[[], Any]) -> Response:
    try:
        return StrictJSON(read())
    except RunError as error:
        return JSONResponse({"error": str(error)}, 404)
    except (ConfigError, ReviewError) as error:
        return JSONResponse({"error": str(error)}, 400)
    except ThinklabError as error:
        return JSONResponse({"error": str(error)}, 500)
