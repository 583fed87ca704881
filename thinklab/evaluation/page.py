"""The HTML page of an evaluation: headline, table, differences, inference scaling, behaviors, samples, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from thinklab.evaluation import paired_stats as eval_stats
from thinklab.evaluation import paper_table
from thinklab.evaluation.results import Filled, Results, as_csv, gap_text, markdown, p_text, to_json
from thinklab.probing.stats import Estimate
from thinklab.reports import html_page
from thinklab.reports.plots import COLORS, LAYOUT
from thinklab.run.folder import RunFolder, versions

PALETTE = (*COLORS, "#ec4899", "#0ea5e9", "#78716c", "#f59e0b")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon", "hexagon", "triangle-down")
TALL = {**LAYOUT, "height": 420, "margin": {**LAYOUT["margin"], "b": 150}, "legend": {**LAYOUT["legend"], "font": {"size": 11}}}
"""Space for the names of eight methods below the figure."""
LARGEST_SAMPLES = 8_000_000
"""Maximum characters of answers embedded in the page; the others are only in the cells' answers.jsonl."""


def write_results(
    results: Results,
    out: Path,
    seen: Mapping[str, Mapping[str, int]] | None = None,
    used: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Path, Path]:
    """Write ``results.json``, ``table.md``, ``table.csv`` and ``index.html``; returns the second and the last.

    Args:
        seen: by method and benchmark, how many questions were also training questions.
        used: by training run, its usage, as ``thinklab.run.usage.usage`` gives it.
    """
    out, seen = Path(out), seen or {}
    RunFolder(out).write_json("results.json", {**to_json(results), "questions_also_trained_on": seen, "training": used or {}})
    table = out / "table.md"
    table.write_text(markdown(results), "utf-8")
    (out / "table.csv").write_text(as_csv(results), "utf-8")
    parts = [
        _head(results, seen),
        _table(results),
        _differences(results),
        _length(results),
        _scaling(results),
        _behaviors(results),
        _questions(results),
        _training(used or {}),
        _samples(results),
        _provenance(results, out),
    ]
    return table, html_page.write_page(out / "index.html", results.config.name, parts)


def headline(results: Results) -> list[str]:
    """The figures in sentences, without interpretation. Missing cells are in ``Results.not_run``."""
    config, said = results.config, []
    means = {m: e for m in config.methods if (e := results.average(m)) is not None}
    if means:
        best = max(means, key=lambda m: means[m].value)
        said.append(f"Highest average over {len(config.benchmarks)} benchmarks: {best}, {_percent(means[best])}.")
    for method in config.methods:
        gap = results.gaps.get((method, "average"))
        if gap is None:
            continue
        found = [(b, g) for b in config.benchmarks if (g := results.gaps.get((method, b)))]
        clear = [(b, g) for b, g in found if g.p_all is not None and g.p_all < 0.05]
        text = (
            f"{method} against {config.compared_with}: {100 * gap.gap.value:+.1f} points on average "
            f"[{100 * gap.gap.low:+.1f}, {100 * gap.gap.high:+.1f}]"
        )
        told = ", ".join(f"{b} {100 * g.gap.value:+.1f}" for b, g in clear)
        said.append(
            f"{text}; significant after correction on {told}."
            if clear
            else f"{text}; on no single benchmark significant after correction."
        )
    return said


def _head(results: Results, seen: Mapping[str, Mapping[str, int]]) -> str:
    items = [*headline(results), *filter(None, [results.not_run])]
    for method, counts in seen.items():
        if told := ", ".join(f"{n} of {b}" for b, n in counts.items() if n):
            items.append(f"Warning: {method} was trained on questions of this evaluation: {told}.")
    about = f"<p>{escape(results.config.about)}</p>" if results.config.about else ""
    return about + "<ul class=summary>" + "".join(f"<li>{escape(s)}</li>" for s in items) + "</ul>"


def _percent(e: Estimate) -> str:
    return f"{100 * e.value:.1f} % [{100 * e.low:.1f}, {100 * e.high:.1f}]"


def _table(results: Results) -> str:
    config, rows = results.config, []
    for method in config.methods:
        row, cells = results.row_of(method), []
        for b in config.benchmarks:
            cell = results.cells.get((method, b))
            paper = paper_table.shown(row, config.benchmarks[b].task.name)
            cells.append(_accuracy(cell) + (f"<br><small>paper: {escape(paper)}</small>" if paper else ""))
        mean, paper = results.average(method), paper_table.shown(row, "average")
        shown = f"<b>{100 * mean.value:.1f}</b><br><small>[{100 * mean.low:.1f}, {100 * mean.high:.1f}]</small>" if mean else ""
        rows.append([f"<b>{escape(method)}</b>", *cells, shown + (f"<br><small>paper: {escape(paper)}</small>" if paper else "")])
    head = ["", *(_name(results, b) for b in config.benchmarks), "average"]
    return (
        "<h2>The table</h2><p>Accuracy in percent, averaged over runs. In brackets 95 % intervals over questions; several "
        "answers to one question are weighted by their effective sample size "
        "(Kish). The average gives each benchmark the same weight; its "
        "interval "
        "is a bootstrap over questions. <b>paper</b> shows the known figures of the paper's table, for Llama-3.2-3B-Instruct: "
        "comparable only with that student. <b>?</b> marks figures without a known "
        "source.</p>" + html_page.table(head, rows)
    )


def _name(results: Results, benchmark: str) -> str:
    task = results.config.benchmarks[benchmark].task.name
    runs = max((c.runs for (_, b), c in results.cells.items() if b == benchmark), default=0)
    count = len(results.questions.get(benchmark, {}).get("ids", ()))
    own = f"<br><small>{count} questions, {runs} run{'s' if runs != 1 else ''}</small>"
    return escape(paper_table.BENCHMARKS.get(task, benchmark) if benchmark == task else benchmark) + own


def _accuracy(cell: Filled | None) -> str:
    if cell is None:
        return "<small>not run</small>"
    a = cell.accuracy
    note = f"<br><small>{cell.runs} of {cell.wanted_runs} runs</small>" if cell.runs < cell.wanted_runs else ""
    if a.count == 0:
        return f"<b>0</b> <small>(&lt; {100 * a.upper_bound:.1f})</small>{note}"
    spread = f"<br><small>{' '.join(f'{100 * r:.0f}' for r in cell.each_run)}</small>" if 1 < cell.runs <= 6 else ""
    return f"<b>{100 * a.value:.1f}</b> <small>[{100 * a.low:.1f}, {100 * a.high:.1f}]</small>{spread}{note}"


def _differences(results: Results) -> str:
    config, rows = results.config, []
    for method in results.compared:
        cells = []
        for b in (*config.benchmarks, "average"):
            gap = results.gaps.get((method, b))
            text = escape(gap_text(gap)).replace(", p ", "<br><small>p ") + ("</small>" if gap and gap.p_all is not None else "")
            clear = gap is not None and (gap.p_all < 0.05 if gap.p_all is not None else gap.gap.clear)
            cells.append(f"<b>{text}</b>" if clear else text)
        rows.append([f"<b>{escape(method)}</b>", *cells])
    if not rows:
        return ""
    count = sum(g.p is not None for g in results.gaps.values())
    return (
        f"<h2>Against {escape(config.compared_with)}</h2><p>Percentage points on the same questions, with 95 % bootstrap "
        f"intervals; an interval of zero width means that no question differed, not that none could. p: paired permutation test over "
        f"questions, after Holm's correction for all {count} comparisons. Bold where p is below .05, or, for the average, "
        "where the interval leaves out 0.</p>" + html_page.table(["", *map(escape, config.benchmarks), "average"], rows)
    )


def _length(results: Results) -> str:
    config, rows, helps = results.config, [], []
    for method in filter(results.of, config.methods):
        cells, inside = [], []
        for b in config.benchmarks:
            cell, longer = results.cells.get((method, b)), results.longer(method, b)
            if cell is None:
                cells.append("")
                inside.append("")
                continue
            text = f"<b>{cell.mean_tokens:.1f}</b>"
            if method != config.compared_with and longer is not None:
                text += f"<br><small>{100 * longer.value:+.0f} % [{100 * longer.low:+.0f}, {100 * longer.high:+.0f}]</small>"
            ended = sum(x["finished"] for x in cell.lines) / len(cell.lines)
            cells.append(text + f"<br><small>{100 * ended:.0f} % ended</small>")
            gap, count = eval_stats.within_question(cell.values("tokens"), cell.values("correct"))
            inside.append(
                "<small>no question has both</small>"
                if gap is None
                else f"{gap.value:+.1f} <small>[{gap.low:+.1f}, {gap.high:+.1f}]<br>{count} "
                f"question{'s' if count > 1 else ''}</small>"
            )
        rows.append([f"<b>{escape(method)}</b>", *cells])
        helps.append([f"<b>{escape(method)}</b>", *inside])
    if not rows:
        return ""
    head = ["", *map(escape, config.benchmarks)]
    known = (
        ("<p>The slides: " + escape(paper_table.LENGTH) + "</p>")
        if any(results.row_of(m) == "thinktuning" for m in config.methods)
        else ""
    )
    return (
        "<h2>Response length</h2><p>Tokens per answer: all turns, including text inserted by a solver; prompts are not "
        f"counted. In "
        f"small print: against {escape(config.compared_with)} on the same questions, 95 % bootstrap interval.</p>{known}"
        + html_page.table(head, rows)
        + "<h2>Do longer answers help?</h2><p>Tokens of right answers minus tokens of wrong ones <b>to the same question</b>, "
        "over the questions with both in different runs. Below 0: shorter answers are right more often. Across questions, "
        "length is not informative, because hard ones take longer and fail more; the figures below also show this, by quarters "
        "of the "
        "answers.</p>" + html_page.table(head, helps)
    )


def _scaling(results: Results) -> str:
    config = results.config
    scaling: list[go.Figure] = []
    quarters: list[go.Figure] = []
    if not results.cells:
        return ""
    styles = dict(zip(config.methods, zip(PALETTE * 9, SYMBOLS * 9, strict=False), strict=False))
    for b in dict.fromkeys(b for _, b in results.cells):
        one, two = go.Figure(), go.Figure()
        for method in config.methods:
            cell = results.cells.get((method, b))
            if cell is None:
                continue
            color, symbol = styles[method]
            line = {"color": color, "width": 2}
            # the answers as they are: several turns together may be longer than the last cut
            curve = [*cell.curve(), (round(cell.mean_tokens), cell.accuracy.value, cell.mean_tokens)]
            one.add_scatter(
                x=[u for _, _, u in curve],
                y=[a for _, a, _ in curve],
                name=method,
                mode="lines+markers",
                line=line,
                marker={"size": [5] * (len(curve) - 1) + [10], "symbol": symbol},
                customdata=[c for c, _, _ in curve],
                hovertemplate=f"{method}, cut at %{{customdata}}<br>%{{x:.0f}} tokens: %{{y:.3f}}<extra></extra>",
            )
            parts = cell.by_length()
            two.add_scatter(
                x=[t for t, _ in parts],
                y=[r.value for _, r in parts],
                name=method,
                mode="lines+markers",
                line=line,
                marker={"size": 7, "symbol": symbol},
                customdata=[f"{r.count} of {r.total}" for _, r in parts],
                hovertemplate=f"{method}<br>%{{x:.0f}} tokens: %{{customdata}} right<extra></extra>",
            )
        highest = max(
            [a for m in config.methods if (c := results.cells.get((m, b))) for _, a, _ in c.curve()]
            + [r.value for m in config.methods if (c := results.cells.get((m, b))) for _, r in c.by_length()],
            default=1,
        )
        for fig, title, axis, into in ((one, b, "mean tokens used", scaling), (two, b, "tokens of the answer", quarters)):
            fig.update_layout(
                title=title,
                **TALL,
                xaxis={"title": {"text": axis, "font": {"size": 12}, "standoff": 6}, "rangemode": "tozero"},
                yaxis={"range": [-0.02, min(1.03, max(0.1, highest * 1.15))], "tickformat": ".0%"},
            )
            into.append(fig)
    return (
        "<h2>Inference scaling</h2><p>Accuracy if every answer were truncated after this many tokens; the large marker is the "
        "full answer. A truncated answer is graded as it is: a method that answers first and reflects later keeps its first "
        "answer.</p>" + _figures(scaling) + "<h3>Accuracy by length of the answer</h3><p>The answers of each method in quarters, "
        "from short to "
        "long.</p>" + _figures(quarters)
    )


def _figures(figs: list[go.Figure]) -> str:
    room = f"<div class=figure style='min-height:{TALL['height'] + 8}px'>"
    return "<div class=figures>" + "".join(html_page.figure(f).replace("<div class=figure>", room, 1) for f in figs) + "</div>"


def _behaviors(results: Results) -> str:
    config, names = results.config, list(results.behavior_hashes)
    methods = [m for m in config.methods if results.of(m)]
    if not names or not methods:
        return ""
    rows, fig = [], go.Figure()
    for k, method in enumerate(methods):
        cells, rates = [], []
        for name in names:
            mean, gap = results.behavior_average(method, name), results.behavior_gap(method, name)
            rates.append(mean)
            if mean is None:
                cells.append("no verdict")
                continue
            if mean.value == 0:
                cells.append(f"<b>0</b> <small>of {sum(len(c.lines) for c in results.of(method))}</small>")
                continue
            text = f"<b>{100 * mean.value:.2f}</b> <small>[{100 * mean.low:.2f}, {100 * mean.high:.2f}]</small>"
            if method != config.compared_with and gap is not None:
                text += f"<br><small>{100 * gap.value:+.2f} [{100 * gap.low:+.2f}, {100 * gap.high:+.2f}]</small>"
            each = ", ".join(
                f"{b} {100 * results.cells[method, b].rate(name).value:.1f}"
                for b in config.benchmarks
                if (method, b) in results.cells
            )
            cells.append(f"<span title='{escape(each)}'>{text}</span>")
        rows.append([f"<b>{escape(method)}</b>", *cells])
        known = [(name, r) for name, r in zip(names, rates, strict=True) if r is not None]
        fig.add_bar(
            x=[name for name, _ in known],
            y=[r.value for _, r in known],
            name=method,
            marker_color=PALETTE[k % len(PALETTE)],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [r.high - r.value for _, r in known],
                "arrayminus": [r.value - r.low for _, r in known],
                "thickness": 1,
            },
        )
    fig.update_layout(
        title="Share of answers that show it, mean over benchmarks",
        barmode="group",
        **TALL,
        yaxis={"tickformat": ".1%", "rangemode": "tozero"},
    )
    return (
        "<h2>Which behaviors appear?</h2><p>Percent of answers in which the behavior's detector finds it, all turns of "
        "an answer together, mean over benchmarks with 95 % bootstrap intervals; in small print the difference to "
        f"{escape(config.compared_with)} on the same questions, which for a trained student is after minus before training. A "
        "solver whose prompt asks for a check gets one; that does not show a learned behavior.</p>"
        + html_page.table(["", *map(escape, names)], rows)
        + _figures([fig])
    )


def _questions(results: Results) -> str:
    rows = []
    for b, q in results.questions.items():
        if b in results.config.benchmarks:
            rows.append([escape(b), str(q["available"]), str(q["too_long"]), str(len(q["ids"]))])
    if not rows:
        return ""
    config = results.config
    return (
        f"<h2>Questions and decoding</h2><p>Temperature {config.temperature:g}, prompts of at most {config.max_prompt_tokens} "
        f"tokens, turns of at "
        f"most {config.max_new_tokens}, seed {config.seed}. Questions with longer prompts are excluded for all "
        f"methods.</p>" + html_page.table(["benchmark", "questions there", "prompt too long", "asked"], rows)
    )


def _training(used: Mapping[str, Mapping[str, Any]]) -> str:
    if not used:
        return ""
    rows = []
    for name, b in used.items():
        texts = ", ".join(f"{n} {source}" for source, n in b["texts"].items()) or "no texts: policy gradient"
        rows.append(
            [
                escape(name),
                f"{b['questions']:,}",
                f"{b['different_questions']:,}",
                f"{b['student_answers']:,}",
                f"{b['student_tokens']:,}",
                f"{b['teacher_texts']:,}",
                f"{b['teacher_tokens']:,}",
                escape(texts),
            ]
        )
    return (
        "<h2>Training usage</h2><p>Questions (repeated ones count each time), answers sampled by the student and their tokens, "
        "the teacher's texts and tokens that were trained on, and the texts that supervised methods imitated.</p>"
        + html_page.table(["", "questions", "different", "answers", "tokens", "teacher texts", "tokens", "imitated"], rows)
    )


def _samples(results: Results) -> str:
    if not results.cells:
        return ""
    where = "the cells' answers.jsonl"
    shown, count, left_out = html_page.answer_list(_first_answers(results), LARGEST_SAMPLES, where)
    note = f" {left_out} more are only in {where}, to keep the page small." if left_out else ""
    return (
        f"<h2>Every answer</h2><p>{count} answers, those of the first run.{note} The others are in "
        f"<code>METHOD/BENCHMARK/answers.jsonl</code>.</p>{shown}"
    )


def _first_answers(results: Results) -> Iterator[tuple[str, list[list[Any]]]]:
    for (method, benchmark), cell in results.cells.items():
        rows = []
        for k, x in enumerate(cell.lines):
            if x["run"]:
                continue
            text = "\n\n".join(f"[{t['kind']}] {t['text']}" if len(x["turns"]) > 1 else t["text"] for t in x["turns"])
            rows.append([x["question"], x["gold"], text, int(x["correct"]), int(any(s[k] for s in cell.behaviors.values()))])
        yield f"{method}/{benchmark}", rows


def _provenance(results: Results, out: Path) -> str:
    rows = []
    for (method, benchmark), c in results.cells.items():
        total = {k: sum(x[k] for x in c.lines) for k in ("sampled", "inserted", "dropped", "read")}
        seconds = sum(x["seconds"] for x in c.lines)
        link = f"{method}/{benchmark}/answers.jsonl"
        rows.append(
            [
                f"<a href='{escape(link)}'>{escape(f'{method}/{benchmark}')}</a>",
                str(len(c.lines)),
                *(f"{total[k]:,}" for k in total),
                f"{seconds:.0f}",
            ]
        )
    data: dict[str, Any] = {
        "config": results.config.model_dump(mode="json"),
        "behaviors": dict(results.behavior_hashes),
        "versions": versions(),
    }
    told = (
        (
            "<p>Tokens sampled by the student, inserted by solvers, sampled and discarded, and read as prompts (in each call). "
            "Seconds on that machine under its load.</p>"
            + html_page.table(["answers", "number", "sampled", "put in", "taken out", "read", "seconds"], rows)
        )
        if rows
        else ""
    )
    return (
        f"<h2>Data</h2>{told}"
        f"<details><summary>config, behavior hashes, "
        f"versions</summary><pre>{escape(json.dumps(data, indent=1))}</pre></details>"
    )


__all__ = ["headline", "p_text", "write_results"]
