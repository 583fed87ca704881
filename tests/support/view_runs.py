"""Run folders for the tests of the viewer: made of records, without a training."""

from __future__ import annotations

import json
from pathlib import Path

from thinklab.config.experiment import Experiment
from thinklab.run.folder import RunFolder

EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"


def rollout(
    k: int,
    generation: int = 0,
    group: int = 0,
    status: str | None = None,
    text: str = "1+1=2. So \\boxed{2}.",
    right: bool = True,
    reward: float = 1.0,
    verdict: bool | None = None,
    behavior: str = "self-check",
    edited: str | None = None,
    question: str = "How many are 1 and 1?",
) -> dict:
    """One line of ``rollouts.jsonl``."""
    guidance = None
    if status is not None:
        guidance = {
            "rollout_id": f"{generation}-{k}",
            "behavior": behavior,
            "behavior_hash": "h",
            "status": status,
            "reason": "missing-tag" if status == "rejected" else "",
            "detail": "no tag" if status == "rejected" else "",
            "raw": f"<phrase>I check {k}.</phrase>",
            "fields": {},
            "verdict": verdict,
            "text": f"I check {k}.",
            "edited": edited,
            "model": "m",
            "usage": {},
            "latency_s": 0.0,
            "attempts": 1,
            "cache_hit": False,
        }
    taught = status in ("accepted", "edited")
    said = (edited if edited is not None else f"I check {k}.") if taught else ""
    return {
        "generation": generation,
        "step": generation,
        "id": f"{generation}-{k}",
        "group": group,
        "example": {"id": f"e{group}", "question": question, "gold": "2", "meta": {}},
        "prompt_ids": [1, 2],
        "student_ids": [3, 4, 1],
        "finished": True,
        "text": f"{text} {said}".strip(),
        "student_text": text,
        "behavior": behavior,
        "behavior_hash": "h",
        "guidance": guidance,
        "teacher_ids": [5, 1] if taught else [],
        "rewards": {"correct": reward, "behavior": 0.0},
        "advantage": reward - 0.5,
        "checks": {"student_correct": right, "correct": right or taught, "behavior": taught},
    }


def make_run(folder: Path, rollouts: list[dict] = (), steps: int = 2, method: str = "aas", name: str = "a-run") -> RunFolder:
    """A run with metrics, probes, a last probe, and one traced rollout."""
    config = Experiment.model_validate(
        {"name": name, "behaviors": ["self-check"], "loss": {"method": method}, "train": {"steps": steps}}
    )
    run = RunFolder.create(folder, config.model_dump(mode="json"), {"self-check": "h"})
    run.append("rollouts", rollouts)
    rate = {"count": 3, "total": 4, "value": 0.75, "low": 0.3, "high": 0.95}
    none = {"count": 0, "total": 4, "value": 0.0, "low": 0.0, "high": 0.49}

    def result(decoding: str, shown: dict) -> dict:
        return {
            "decoding": decoding,
            "accuracy": rate,
            "first_accuracy": rate,
            "finished": rate,
            "behaviors": {"self-check": shown},
            "mean_tokens": 17.0,
            "samples": 1,
            "boxed": rate,
        }

    run.append(
        "metrics",
        (
            {
                "step": s + 1,
                "seconds": 1.0 + s,
                "own/accuracy": 0.2 * s,
                "own/behavior": 0.1 * s,
                "reward": 0.5,
                "rewards/correct/mean": 0.5,
                "student/entropy": 0.1,
                "mean_student_tokens": 9.0,
                "guided_fraction": 0.25,
                "neutral_kl": 0.001,
            }
            for s in range(steps)
        ),
    )
    run.append("probes", ({"step": s, **result("T=1", rate)} for s in (0, steps)))
    run.append(
        "alarms", [{"step": 1, "kind": "hint", "sign": "kl", "seen": "KL rises", "cause": "a high rate", "mend": "lower it"}]
    )
    run.write_json(
        "probe.json",
        {
            "before": {d: result(d, none) for d in ("T=1", "greedy")},
            "steps": steps,
            "stopped": "",
            "failed": "",
            "after": {d: result(d, rate) for d in ("T=1", "greedy")},
        },
    )
    run.append(
        "probe_samples",
        (
            {
                "stage": stage,
                "example_id": f"q{k}",
                "question": f"Question {k}? {EVIL if k == 0 else ''}",
                "gold": "2",
                "decoding": "T=1",
                "text": f"answer {k} {stage} {EVIL if k == 0 else ''}",
                "tokens": 4,
                "finished": True,
                "correct": stage == "after",
                "first_correct": False,
                "behaviors": {"self-check": stage == "after"},
            }
            for stage in ("before", "after")
            for k in range(25)
        ),
    )
    run.append(
        "tokens",
        [
            {
                "rollout": "0-0",
                "step": 0,
                "advantage": -0.5,
                "tokens": ["1", "+", " I", " check", "<eos>"],
                "teacher": [0, 0, 1, 1, 1],
                "probability": [0.9, 0.8, 1e-5, 0.4, 0.9],
                "weight": [1, 1, 0, 0.9, 0.99],
            }
        ],
    )
    return run


def some_rollouts(generations: int = 6, groups: int = 2, size: int = 4) -> list[dict]:
    """Groups with every outcome: each group begins with one accepted, edited and rejected."""
    out = []
    for g in range(generations):
        for k in range(groups * size):
            kind = k % size
            out.append(
                rollout(
                    k,
                    g,
                    k // size,
                    ("accepted", "edited", "rejected", None)[min(kind, 3)],
                    right=kind > 1,
                    reward=float(kind != 2),
                    verdict=(False, False, None, None)[min(kind, 3)],
                    edited=f"I look again {g}." if kind == 1 else None,
                    question=f"Question {g} of {k // size}: how many?",
                )
            )
    return out


def study(folder: Path) -> None:
    """The ``table.csv`` of a study of two arms and two seeds."""
    folder.mkdir(parents=True)
    (folder / "table.csv").write_text(
        "base,arm,seed,steps,seconds,guided,accuracy T=1,behavior T=1,tokens T=1,first alarm\n"
        "sums,grpo,0,60,9.1,0,0.40,0.00,18.0,\nsums,grpo,1,60,9.0,0,0.42,0.00,18.2,\n"
        "sums,aas,0,60,9.5,301,0.98,0.99,47.0,\nsums,aas,1,60,9.6,290,1.00,0.95,47.4,kl at 9\n",
        "utf-8",
    )


def evaluation(folder: Path) -> None:
    """The ``results.json`` of an evaluation of two methods on two benchmarks, of which one cell is missing."""
    folder.mkdir(parents=True)

    def cell(method: str, benchmark: str, accuracy: float) -> dict:
        return {
            "method": method,
            "benchmark": benchmark,
            "accuracy": accuracy,
            "low": accuracy - 0.1,
            "high": accuracy + 0.1,
            "correct": 5,
            "answers": 10,
            "questions": 10,
            "mean_tokens": 20.5,
            "behaviors": {"self-check": {"count": 1, "total": 10, "value": 0.1}},
        }

    cells = [cell("zero-shot", "sums", 0.4), cell("zero-shot", "gsm8k", 0.2), cell("thinktuning", "sums", 0.9)]
    (folder / "results.json").write_text(
        json.dumps({"name": "grid", "reference": "zero-shot", "cells": cells, "behaviors": {"self-check": "h"}})
    )
