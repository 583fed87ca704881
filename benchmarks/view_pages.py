"""How quick is a page of the viewer with 10^5 rollouts? ``python benchmarks/view_pages.py [--rollouts 100000] [--out FILE.md]``

A ``rollouts.jsonl`` of made-up rollouts (some 2 kB each: question, answer, ids, guidance for a quarter) is served by the viewer
on this machine. Both sides answer the same questions in the same run:

- the viewer: a page of 50 over HTTP, as a browser asks for it, from the request to the parsed answer;
- the peer: what one writes first, reading the file whole, line by line with ``json``, filter, sort, slice; without HTTP.

The two answers are compared: a page that differs ends the benchmark.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support.view_runs import make_run, rollout
from thinklab.view.serve import beside

SIZE = 50
QUERIES = {
    "newest": {},
    "page 1,000 of 2,000": {"first": "middle"},
    "guidance edited": {"status": "edited"},
    "behavior, teacher is right": {"behavior": "self-check", "verdict": "agrees"},
    "reward at least 1, student wrong": {"least": "1", "answer": "wrong"},
    "by advantage": {"sort": "-advantage"},
    "search, in most rollouts": {"text": "how many"},
    "search, in 1 of 1,000": {"text": "needle"},
    "search, in none": {"text": "no such words"},
}


def make_file(file: Path, count: int) -> None:
    rng = random.Random(0)
    words = "then add the two so that what is left of them makes a sum of about which we know that it is right and".split()
    with open(file, "w", encoding="utf-8") as out:
        for k in range(count):
            kind = ("accepted", "edited", "rejected", None)[min(3, k % 8)]
            text = " ".join(rng.choices(words, k=60)) + (" needle" if k % 1000 == 0 else "")
            line = rollout(
                k % 64,
                k // 64,
                k % 64 // 8,
                kind,
                text=text,
                right=rng.random() < 0.5,
                reward=float(rng.random() < 0.6),
                verdict=None if kind is None else rng.random() < 0.5,
                edited=f"I look at {k}." if kind == "edited" else None,
                behavior=rng.choice(("self-check", "self-critique")),
                question=f"Gus has {k} nuts and finds 7 more. How many?",
            )
            line["student_ids"] = [rng.randrange(30_000) for _ in range(150)]
            line["advantage"] = rng.gauss(0, 1)
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def whole(file: Path, query: dict, first: int) -> tuple[list[str], int]:
    """The same page by reading the file: ids and how many fit."""
    found = []
    with open(file, encoding="utf-8") as lines:
        for text in lines:
            r = json.loads(text)
            g, own = r["guidance"] or {}, r["checks"]["student_correct"]
            if query.get("status") and g.get("status") != query["status"]:
                continue
            if query.get("behavior") and r["behavior"] != query["behavior"]:
                continue
            if query.get("verdict") and (g.get("verdict") is None or g["verdict"] != own):
                continue
            if query.get("answer") and own != (query["answer"] == "right"):
                continue
            if query.get("least") and sum(r["rewards"].values()) < float(query["least"]):
                continue
            said = f"{g.get('text') or ''}\n{g.get('edited') or ''}" if g else ""
            if query.get("text") and query["text"] not in f"{r['example']['question']}\n{r['student_text']}\n{said}".casefold():
                continue
            found.append((r["advantage"], r["id"]))
    if query.get("sort"):
        found.sort(key=lambda pair: -pair[0])
    else:
        found.reverse()
    return [id for _, id in found[first : first + SIZE]], len(found)


class Browser:
    """One connection with the cookie, as a browser keeps it."""

    def __init__(self, url: str):
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port)
        self.connection.request("GET", f"/?{parts.query}")
        answer = self.connection.getresponse()
        answer.read()
        self.cookie = answer.headers["set-cookie"].split(";")[0]

    def page(self, query: dict, first: int) -> tuple[dict, float]:
        """The answer, and seconds until it was there."""
        begin = time.perf_counter()
        self.connection.request(
            "GET",
            "/api/rollouts?" + urlencode({"run": ".", "count": SIZE, **query, "first": first}),
            headers={"Cookie": self.cookie},
        )
        found = json.loads(self.connection.getresponse().read())
        return found, time.perf_counter() - begin


def measure(file: Path, browser: Browser, repeats: int) -> list[str]:
    first, seconds = browser.page({}, 0)
    begin = time.perf_counter()
    slowest, complete = seconds, first["complete"]
    while not complete:
        page, took = browser.page({}, 0)
        slowest, complete = max(slowest, took), page["complete"]
        time.sleep(0.1)
    indexed = seconds + time.perf_counter() - begin
    rows = []
    for name, query in QUERIES.items():
        query = dict(query)
        at = page["total"] // 2 if query.pop("first", "") else 0
        begin = time.perf_counter()
        ids, total = whole(file, query, at)
        peer = time.perf_counter() - begin
        times, steps = [], 0
        found: dict = {"complete": False}
        while not found["complete"]:  # a search that is not through answers what it has by now
            found, took = browser.page(query, at)
            times.append(took)
            steps += 1
        if ([r["id"] for r in found["rows"]], found["total"]) != (ids, total):
            sys.exit(f"{name}: the two sides differ")
        times += [browser.page(query, at)[1] for _ in range(repeats)]
        ms = sorted(1000 * t for t in times)
        rows.append(
            f"| {name} | {total:,} | {statistics.median(ms):.1f} ms | {ms[-1]:.1f} ms | {steps} | {1000 * peer:,.0f} ms | "
            f"{1000 * peer / ms[-1]:.0f} |"
        )
    head = [
        "| page | fit | viewer, median | slowest | answers until complete | file read whole | ratio to the slowest |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    return [
        *head,
        *rows,
        "",
        f"The first page, with nothing indexed: {1000 * seconds:.1f} ms. Everything indexed after {indexed:.1f} s; the "
        f"slowest page meanwhile: {1000 * slowest:.1f} ms.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run = make_run(Path(place) / "run", [])
        file = run.path / "rollouts.jsonl"
        make_file(file, args.rollouts)
        with beside(run.path, 0, None) as url:
            lines = measure(file, Browser(url), args.repeats)
        size = file.stat().st_size / 1e6
    text = f"""# A page of the viewer with {args.rollouts:,} rollouts

`python benchmarks/view_pages.py --out docs/measurements/view-pages.md`, {datetime.date.today()}, {os.cpu_count()} CPU cores,
{platform.machine()}, a file of {size:.0f} MB, load average {os.getloadavg()[0]:.1f}.

A page has {SIZE} rollouts. *Viewer*: over HTTP on this machine, from the request to the parsed answer, {args.repeats} times after
the first ones. *File read whole*: the same page by `json.loads` of every line, once. Both gave the same rollouts. A search that
needs more than 20 ms answers with what it has found by then and goes on at the next request.

"""
    text += "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
