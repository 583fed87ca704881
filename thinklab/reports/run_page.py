"""``write_report``: the page of a run: headline, verdicts, summary, probe table, answers side by side.

Everything is read from run folders; all model text is escaped. plotly.js is embedded, gzipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from thinklab.errors import RunError
from thinklab.probing.result import ProbeResult
from thinklab.probing.sentences import sentences
from thinklab.probing.stats import Rate
from thinklab.probing.table import WIDE, probe_rows
from thinklab.reports import html_page, plots
from thinklab.reports import quadrants as report_tokens
from thinklab.reports import sections as report_more
from thinklab.reports.token_spans import spans
from thinklab.run.folder import RunFolder

PAIRS_SHOWN = 12
TITLES = "report.json"
"""The titles of a folder of several runs and of the runs: ``{"title": text, "runs": {folder: name}}``; may be absent."""


def report_folder(folder: Path, out: Path | None = None) -> Path:
    """Report on a run folder, or on all run folders directly inside ``folder``.

    Raises:
        RunError: if there is none.
    """
    folder = Path(folder)
    if (folder / "config.yaml").exists():
        return write_report({folder.name: RunFolder.open(folder)}, out or folder / "report.html", folder.name)
    found = sorted(p.parent for p in folder.glob("*/config.yaml"))
    if not found:
        raise RunError(f"{folder} contains no run: there is no config.yaml in it or one level below")
    titles = RunFolder(folder).read_json(TITLES) or {"title": folder.name, "runs": {}}
    names = titles["runs"]
    found.sort(key=lambda p: list(names).index(p.name) if p.name in names else len(names))
    runs = {names.get(p.name, p.name): RunFolder.open(p) for p in found}
    return write_report(runs, out or folder / "report.html", titles["title"])


def write_report(runs: Mapping[str, RunFolder], out: Path, title: str, summary: Sequence[str] = ()) -> Path:
    """Write the page.

    Args:
        runs: arms by display name; the first is the treatment, the others are controls.
        summary: sentences for the top of the page, plain text; derived from the figures when empty.

    Returns:
        ``out``.
    """
    probes = {name: (run.read_json("probe.json") or {}) for name, run in runs.items()}
    lines = {name: list(run.read("probes")) for name, run in runs.items()}
    more = [f"{name}: {text}" if len(runs) > 1 else text for name, found in probes.items() for text in sentences(found)]
    parts = [
        _summary(headline(probes), [*(summary or verdicts(probes)), *more]),
        _table(probes),
        report_more.primed(runs),
        report_more.alarms(runs),
        report_more.extended(probes),
        _curves(lines),
        side_by_side(runs),
        _token_view(runs),
        report_tokens.section(runs),
        report_more.training(runs),
        report_more.guidance(runs),
        _provenance(runs),
    ]
    return html_page.write_page(out, title, parts)


def headline(probes: Mapping[str, Mapping[str, Any]]) -> str:
    """Yes, no, or unclear for the first arm, with the evidence: the behavior at T=1 compared with before training and with every control.

    *Yes* needs the whole 95 % interval after training above all of theirs; *no* is a rate whose interval overlaps the one
    before. Anything else is unclear.
    """
    (name, found), *controls = probes.items()
    if "after" not in found or "before" not in found:
        return ""
    before, after = (ProbeResult.from_json(found[stage]["T=1"]) for stage in ("before", "after"))
    others = [ProbeResult.from_json(c["after"]["T=1"]) for _, c in controls if "after" in c]
    said = []
    for behavior, rate in after.behaviors.items():
        rivals = [before.behaviors[behavior], *(o.behaviors[behavior] for o in others if behavior in o.behaviors)]
        answer = (
            "Yes"
            if all(rate.low > rival.high for rival in rivals)
            else "No"
            if rate.low <= before.behaviors[behavior].high
            else "Not clear"
        )
        text = (
            f"{answer}. With {name}, “{behavior}” went from {_percent(before.behaviors[behavior])} to {_percent(rate)} of "
            f"the answers and accuracy from {_percent(before.accuracy)} to {_percent(after.accuracy)}."
        )
        for (rival, _), other in zip(controls, others, strict=False):
            if behavior in other.behaviors:
                text += (
                    f" With {rival}, from the same start, it reached {_percent(other.behaviors[behavior])} and accuracy "
                    f"{_percent(other.accuracy)}."
                )
        said.append(text)
    return " ".join(said)


def _percent(rate: Rate) -> str:
    return f"{100 * rate.value:.0f} %"


def verdicts(probes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The figures in sentences, without interpretation."""
    sentences = []
    for name, found in probes.items():
        if "after" not in found:
            sentences.append(f"{name} has not been probed after training yet.")
            continue
        after = ProbeResult.from_json(found["after"]["T=1"])
        before = ProbeResult.from_json(found["before"]["T=1"]) if "before" in found else None
        text = f"{name}: accuracy at T=1 "
        text += f"went from {before.accuracy} to {after.accuracy}" if before else f"is {after.accuracy}"
        for behavior, rate in after.behaviors.items():
            was = f" (before: {before.behaviors[behavior]})" if before else ""
            if rate.count == 0:
                text += f"; {behavior} was never seen in {rate.total} answers, so its rate is below {rate.upper_bound:.4f}{was}"
            else:
                text += f"; {behavior} occurs in {rate}{was}"
        sentences.append(text + ".")
    return sentences


def _summary(headline: str, sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(s)}</li>" for s in sentences)
    return f"<p class=headline>{escape(headline)}</p><ul class=summary>{items}</ul>"


def _table(probes: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ""
    for row in probe_rows(probes, "before training"):
        label, decoding, *rates = row.cells(
            WIDE, html_page.rate, lambda shown: "<br>".join(f"{escape(b)} {rate}" for b, rate in shown.items()), digits=1
        )
        cells = "".join(f"<td>{cell}" for cell in (escape(label), escape(decoding), *rates))
        rows += f"<tr class={row.stage}>{cells}</tr>"
    head = "".join(f"<th>{h}" for h in WIDE)
    total = next((d["accuracy"]["total"] for p in probes.values() for d in p.get("after", {}).values()), 0)
    return (
        f"<h2>Measured</h2><p>{total} answers to held-out questions, without guidance or hints. In brackets: 95 % Wilson "
        "intervals; if nothing was seen, the upper bound by the rule of three.</p>"
        f"<div class=scroll><table><thead><tr>{head}</thead><tbody>{rows}</tbody></table></div>"
    )


def _curves(lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    if not any(lines.values()):
        return ""
    behaviors = list(dict.fromkeys(b for arm in lines.values() for line in arm for b in line["behaviors"]))
    total = next(line["accuracy"]["total"] for arm in lines.values() for line in arm)
    figures = [plots.curves(lines, "accuracy", "Accuracy: the last answer is right")]
    figures += [plots.curves(lines, "behaviors", f"Shows the behavior: {b}", b) for b in behaviors]
    figures += [
        plots.curves(lines, "first_accuracy", "Accuracy of the first answer"),
        plots.length_and_accuracy(lines),
    ]
    return (
        f"<h2>While it learned</h2><p>Small probes on {total} held-out questions at T=1; bands are 95 % intervals.</p>"
        + html_page.figures(figures)
    )


def side_by_side(runs: Mapping[str, RunFolder], count: int = PAIRS_SHOWN) -> str:
    """Answers to the same ``count`` questions, before and after, of every arm; empty if no run was probed."""
    texts: dict[str, dict[str, dict]] = {}
    questions: dict[str, tuple[str, str]] = {}
    for name, run in runs.items():
        for line in run.read("probe_samples"):
            if line["decoding"] != "T=1":
                continue
            column = "before" if line["stage"] == "before" else name
            questions[line["example_id"]] = (line["question"], line["gold"])
            texts.setdefault(column, {})[line["example_id"]] = line
    if not texts:
        return ""
    columns = ["before", *runs] if "before" in texts else list(runs)
    shown = [key for key in questions if all(key in texts.get(c, {}) for c in columns)][:count]
    rows = []
    for key in shown:
        cells = "".join(_answer(texts[c][key]) for c in columns)
        question, gold = map(escape, questions[key])
        rows.append(f"<tr><td class=text>{question}<br><small>answer: {gold}</small>{cells}</tr>")
    head = "<th>question" + "".join(f"<th>{escape(c)}" for c in columns)
    return (
        f"<h2>The same questions, side by side</h2><p>The first {len(shown)} of the probe, not cherry-picked; all others are in "
        f"probe_samples.jsonl.</p><div class=scroll><table class=answers><thead><tr>{head}</thead><tbody>{''.join(rows)}"
        "</tbody></table></div>"
    )


def _answer(line: Mapping[str, Any]) -> str:
    mark = "<span class=right>right</span>" if line["correct"] else "<span class=wrong>wrong</span>"
    shown = "".join(f" <span class=tag>{escape(b)}</span>" for b, yes in line["behaviors"].items() if yes)
    return f"<td class=text>{escape(line['text'])}<br>{mark}{shown}"


def _token_view(runs: Mapping[str, RunFolder]) -> str:
    """The first guided rollout of the first arm that has one, token by token."""
    for name, run in runs.items():
        trace = next(run.read("tokens"), None)
        if trace is None:
            continue
        low = sum(
            1
            for t, p, w in zip(trace["teacher"], trace["probability"], trace["weight"], strict=True)
            if t and w < 0.1 and p < 0.1
        )
        return (
            f"<h2>One guided rollout, token by token</h2><p>From {escape(name)}, step {trace['step']}, advantage "
            f"{trace['advantage']:.2f}.</p><p><span class='legend student'>the student's</span> <span class='legend teacher' "
            "style='--w:1'>the teacher's, full weight</span> <span class='legend teacher' style='--w:0'>the "
            f"teacher's, weight 0</span> Hover for probabilities. {low} of its teacher tokens were out of reach: they were "
            f"unlikely under the student, and their weight was below 0.1.</p><p class=tokens>{spans(trace)}</p>"
        )
    return ""


def _provenance(runs: Mapping[str, RunFolder]) -> str:
    parts = []
    for name, run in runs.items():
        text = json.dumps(run.resolved(), indent=1, ensure_ascii=False)
        parts.append(
            f"<details><summary>{escape(name)}: config, behavior hashes, versions</summary><pre>{escape(text)}</pre></details>"
        )
    folders = ", ".join(f"<code>{escape(str(run.path.name))}</code>" for run in runs.values())
    return (
        "<h2>Data</h2><p>Raw rollouts, metrics and every probed answer are next to this page in the run "
        f"folders: {folders}.</p>{''.join(parts)}"
    )
