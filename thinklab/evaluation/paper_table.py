"""The accuracies and lengths printed in the paper, by method and benchmark, as constants.

Sources: *abstract* = the paper's abstract; *second hand* = third parties who read the PDF; *slides* = the authors' talk. The
student is Llama-3.2-3B-Instruct, trained on GSM8K's training questions. The decoding settings behind these figures are unknown.
"""

from __future__ import annotations

BENCHMARKS = {
    "gsm8k": "GSM8K",
    "math500": "MATH-500",
    "aime": "AIME",
    "commonsense_qa": "CommonsenseQA",
    "arc_challenge": "ARC-Challenge",
    "gpqa_diamond": "GPQA-Diamond",
    "strategyqa": "StrategyQA",
    "mmlu_pro": "MMLU-Pro",
}
"""Task names of the eight, in the order of the slides."""
ROWS = ("zero-shot", "self-verify", "self-correct", "s1-2048", "sft", "star", "grpo", "thinktuning")

ACCURACY = {
    ("thinktuning", "math500"): (47.54, "second hand"),
    ("thinktuning", "gpqa_diamond"): (28.18, "second hand"),
    ("grpo", "math500"): (45.46, "second hand"),
    ("grpo", "gpqa_diamond"): (24.19, "second hand"),
}
"""(row, task) -> (percent, source)"""

REMARKS = {
    ("thinktuning", "math500"): "GRPO + 2.08 (abstract)",
    ("thinktuning", "gpqa_diamond"): "GRPO + 3.99 (abstract)",
    ("thinktuning", "aime"): "GRPO + 2.23 (abstract)",
    ("thinktuning", "gsm8k"): "below GRPO (slides)",
    ("thinktuning", "strategyqa"): "below GRPO (slides)",
    ("sft", "gsm8k"): "below zero-shot (slides)",
    ("thinktuning", "average"): "zero-shot + 3.85 (arXiv v2) or + 3.69 (ACL Anthology)",
}
"""(row, task or ``average``) -> a remark about it without a figure"""

LENGTH = "ThinkTuning writes 3.4 to 20.8 % more tokens; on MATH-500 it beats GRPO with 3.6 % fewer (slides)."


def row_of(name: str) -> str | None:
    """The paper's row for a method of this name; None if there is none."""
    plain = name.lower().replace("_", "-")
    return {"aas": "thinktuning", "think-tuning": "thinktuning", "s1": "s1-2048"}.get(plain, plain if plain in ROWS else None)


def shown(row: str | None, task: str) -> str:
    """The paper's entry: a figure, a remark, both, or ``?``. Empty for rows and tasks that are not in the paper."""
    if row is None or (task not in BENCHMARKS and task != "average"):
        return ""
    figure, remark = ACCURACY.get((row, task)), REMARKS.get((row, task))
    return "; ".join([*([f"{figure[0]:.2f} ({figure[1]})"] if figure else []), *([remark] if remark else [])]) or "?"
