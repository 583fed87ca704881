"""Builds the tables of the studies whose raw files are committed: ``python tools/make_tables.py`` reads
``docs/measurements/raw/NAME.tar.xz`` and writes ``docs/measurements/NAME.md`` and ``.csv``, and the summary ``shaping.md``."""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from thinklab.evaluation.paired_stats import sign_flip
from thinklab.probing.stats import mean_interval
from thinklab.run.folder import RunFolder
from thinklab.studies.archive import unpack
from thinklab.studies.study import Study, cells, load_study
from thinklab.studies.table import StudyRow, as_csv, by_arm, finished_rows, markdown

ROOT = Path(__file__).parent.parent
TABLES = ROOT / "docs" / "measurements"
RAW = TABLES / "raw"
NEVER = 60
"""Generations of every run of the shaping studies; an onset that never came counts as this one."""
UPDATES = {"shaping-one-update": 1, "shaping-four-updates": 4}
HEADLINE = ("shaping-four-updates", "shaping-headline")
WRONG = {"right": 0.0, "wrong-50": 0.5, "wrong-75": 0.75}
SAME_COMPUTATION = {"dual-clip": "ratio", "plain": "ratio"}
"""With one update per generation; tests/method/test_trainer_formula.py shows it."""


def rows_of(archive: Path, folder: Path) -> tuple[Study, list[StudyRow]]:
    """The finished runs in an archive, which is unpacked into ``folder``."""
    name = archive.name.removesuffix(".tar.xz")
    file = ROOT / "examples" / "studies" / f"{name}.yaml"
    study = load_study(file)
    unpack(archive, folder)
    return study, finished_rows(cells(study, file, folder))


def page(study: Study, rows: Sequence[StudyRow], asked: int) -> str:
    """``NAME.md``: what was run, the table, and the behavior by length of the question."""
    versions = RunFolder(rows[0].cell.folder).resolved()["versions"]
    stand = ", ".join(f"{k} {versions[k]}" for k in ("thinklab", "torch", "transformers", "trl", "peft"))
    return f"""# {study.name}

{study.about}

| | |
| --- | --- |
| command | `thinklab study examples/studies/{study.name}.yaml` |
| raw files | [raw/{study.name}.tar.xz](raw/{study.name}.tar.xz): config, metrics, every probed answer, with hashes |
| versions | {stand} |
| machine | two CPU cores, one thread per run, no GPU |
| finished | **{len(rows)} of {asked} runs** |

Written by `python tools/make_tables.py` from the raw files. [The individual runs]({study.name}.csv).

{markdown(study, rows)}
## Behavior by length of the question, T=1, mean over seeds

{by_length(rows)}
"""


def by_length(rows: Sequence[StudyRow]) -> str:
    """How often sums of two and of four numbers are checked and right, by group and arm."""
    lines = ["| group | arm | two numbers: checked | right | four numbers: checked | right |", "|" + " --- |" * 6]
    for (base, arm), found in by_arm(rows).items():
        counts: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
        for row in found:
            for s in RunFolder(row.cell.folder).read("probe_samples"):
                if s["stage"] == "after" and s["decoding"] == "T=1":
                    counts[len(re.findall(r"\d+", s["question"]))].append((any(s["behaviors"].values()), s["correct"]))
        shares = [f"{statistics.mean(x[k] for x in counts[n]):.2f}" if counts[n] else "" for n in (2, 4) for k in (0, 1)]
        lines.append(f"| {base} | {arm} | " + " | ".join(shares) + " |")
    return "\n".join(lines)


# ---- the preregistered summary ---------------------------------------------------------------------------------------


class CellFigures:
    """The four outcomes of one cell over its seeds, in the preregistered order."""

    def __init__(self, rows: Sequence[StudyRow]):
        self.seeds = [r.cell.seed for r in rows]
        self.onsets = [NEVER if r.onset is None else r.onset for r in rows]
        self.onset = statistics.median(self.onsets)
        self.comments = statistics.median(r.guided for r in rows)
        self.accuracies = [r.after["T=1"].accuracy.value for r in rows]
        self.accuracy = statistics.mean(self.accuracies)
        self.gradient = max(r.largest_gradient or 0.0 for r in rows)

    def line(self) -> list[str]:
        each = " ".join("never" if x == NEVER else str(x) for x in self.onsets)
        accuracies = " ".join(f"{x:.2f}".removeprefix("0") for x in self.accuracies)
        onset = "never" if self.onset == NEVER else f"{self.onset:g}"
        return [f"{onset} ({each})", f"{self.comments:.0f}", f"{self.accuracy:.2f} ({accuracies})", f"{self.gradient:.3g}"]


def same_onset(a: CellFigures, b: CellFigures, generations: float = 2.0) -> bool:
    """Within 20 % of the larger, or within ``generations``."""
    return abs(a.onset - b.onset) <= max(generations, 0.2 * max(a.onset, b.onset))


def summary(found: dict[tuple[int, str, str], CellFigures]) -> str:
    lines = [
        "| wrong share | updates | arm | onset, median (each seed) | comments, median | accuracy, mean (each seed) | largest gradient norm |",
        "|" + " --- |" * 7,
    ]
    for (updates, group, arm), cell in sorted(found.items(), key=lambda item: (WRONG[item[0][1]], item[0][0])):
        lines.append(f"| {WRONG[group]:g} | {updates} | {arm} | " + " | ".join(cell.line()) + " |")
    return "\n".join(lines)


def verdicts(found: dict[tuple[int, str, str], CellFigures]) -> str:
    """Each falsifier of docs/preregistration.md against the cells that are there."""

    def cell(updates: int, group: str, arm: str) -> CellFigures | None:
        return found.get((updates, group, arm if updates > 1 else SAME_COMPUTATION.get(arm, arm)))

    lines = []
    key = [("wrong-50", 4), ("wrong-75", 4)]
    pairs = [(g, u, cell(u, g, "dual-clip"), cell(u, g, "aas")) for g, u in key]
    if all(a and b for *_, a, b in pairs):
        close = [abs(a.onset - b.onset) <= 0.2 * b.onset for *_, a, b in pairs if a and b]
        said = ", ".join(f"({WRONG[g]:g}, {u}): {a.onset:g} against {b.onset:g}" for g, u, a, b in pairs if a and b)
        lines.append(
            f"- **It is only the clip**: {'yes' if all(close) else 'refuted'}. Median onset of `dual-clip` and `aas` at {said}."
        )
    every = [(g, u, cell(u, g, "mask"), cell(u, g, "aas")) for g in WRONG for u in (1, 4)]
    there = [(g, u, a, b) for g, u, a, b in every if a and b]
    if there:
        differ = [
            f"({WRONG[g]:g}, {u}): onset {a.onset:g} against {b.onset:g}, accuracy {a.accuracy:.3f} against {b.accuracy:.3f}"
            for g, u, a, b in there
            if not same_onset(a, b) or abs(a.accuracy - b.accuracy) > 0.02
        ]
        what = f"`mask` and `aas` differ in {len(differ)} of {len(there)} cells" + (": " + "; ".join(differ) if differ else "")
        lines.append(f"- **No claim for c(A)**: {'refuted' if differ else 'it stands'}. {what}.")
    a, b = cell(4, "right", "aas"), cell(4, "right", "ratio")
    if a and b:
        wrong = abs(a.accuracy - b.accuracy) > 0.02 or not same_onset(a, b)
        lines.append(
            f"- **The account is wrong** (a correct teacher, four updates): {'yes' if wrong else 'refuted'}. Onset {a.onset:g} and "
            f"{b.onset:g}, accuracy {a.accuracy:.3f} and {b.accuracy:.3f} for `aas` and `ratio`."
        )
    p, r, a = (cell(4, "wrong-75", arm) for arm in ("plain", "ratio", "aas"))
    if p and r and a:
        lines.append(
            f"- **Sign or size** at (.75, 4): `plain`, `ratio`, `aas` end at {p.accuracy:.2f}, {r.accuracy:.2f}, {a.accuracy:.2f} with "
            f"largest gradient norms {p.gradient:.3g}, {r.gradient:.3g}, {a.gradient:.3g}."
        )
    return "\n".join(lines)


def headline(every: dict[str, list[StudyRow]]) -> str:
    """AAS minus the plain ratio at (.75, 4) over all seeds of both studies, paired by seed."""
    value: dict[str, dict[int, float]] = {"aas": {}, "ratio": {}}
    for name in HEADLINE:
        for row in every.get(name, []):
            if row.cell.base == "wrong-75" and row.cell.arm in value:
                value[row.cell.arm][row.cell.seed] = row.after["T=1"].accuracy.value
    seeds = sorted(value["aas"].keys() & value["ratio"].keys())
    if not seeds:
        return "Not run yet."
    gap = mean_interval([value["aas"][s] - value["ratio"][s] for s in seeds])
    p = sign_flip(*({str(s): [value[arm][s]] for s in seeds} for arm in ("ratio", "aas")))
    each = {arm: " ".join(f"{value[arm][s]:.2f}".removeprefix("0") for s in seeds) for arm in value}
    return f"""Wrong share .75, four updates, accuracy, paired by seed, {len(seeds)} seeds: AAS minus ratio **{gap.points} points**
(95 % t-interval over seeds), exact sign-flip test p = {p:.3g}. AAS: {each["aas"]}. Ratio: {each["ratio"]}."""


def shaping(every: dict[str, list[StudyRow]]) -> str:
    found = {
        (UPDATES[name], base, arm): CellFigures(rows)
        for name in UPDATES
        for (base, arm), rows in by_arm(every.get(name, [])).items()
    }
    return f"""# Where does shaping matter?

The decisive study of the [preregistration](../preregistration.md): its outcomes in their order, and its falsifiers. Written by
`python tools/make_tables.py`, which computes the verdicts too. Sources: {", ".join(f"[{n}]({n}.md)" for n in UPDATES if n in every)}.
With one update, `plain` and `dual-clip` are the same computation as `ratio`.

{summary(found)}

## The headline comparison

{headline(every)}

## Falsifiers

{verdicts(found)}
"""


def build(out: Path) -> list[str]:
    """Write every page and table into ``out``; returns their names."""
    every: dict[str, list[StudyRow]] = {}
    with tempfile.TemporaryDirectory() as place:
        for archive in sorted(RAW.glob("*.tar.xz")):
            name = archive.name.removesuffix(".tar.xz")
            study, rows = rows_of(archive, Path(place) / name)
            asked = len(cells(study, ROOT / "examples" / "studies" / f"{name}.yaml", Path(place) / "none"))
            (out / f"{name}.md").write_text(page(study, rows, asked), "utf-8")
            (out / f"{name}.csv").write_text(as_csv(rows), "utf-8")
            every[name] = rows
        if every.keys() & UPDATES.keys():
            (out / "shaping.md").write_text(shaping(every), "utf-8")
    return sorted(every)


if __name__ == "__main__":
    print(json.dumps(build(Path(sys.argv[1]) if len(sys.argv) > 1 else TABLES)))
