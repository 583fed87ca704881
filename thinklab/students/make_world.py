"""Builds a base of the small world: ``python -m thinklab.students.make_world --seed N --out DIR`` (an hour or more on two cores).

A Llama of 4 layers x 256 with a word-and-character tokenizer, written as a plain Hugging Face folder (safetensors, fp16) with
its model card. The training is resumed by the same command: a checkpoint is written every three minutes. At the end the student is
measured, and the command fails, in words, if a sub-skill was not learned (``world_gate``); the student is saved all the same.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from thinklab.sampler import Sampler
from thinklab.students import SMALL_WORLD
from thinklab.students.pretrain import BATCH, Checkpoint, pretrain, small_llama, spread, token_logps, word_tokenizer
from thinklab.students.tiny_corpus import PIECES
from thinklab.students.world_corpus import STEPS, document, vocabulary
from thinklab.students.world_gate import GATE, Ask, failures, forced_check, measure, table, unprompted
from thinklab.tasks.world.drawing import draw
from thinklab.tasks.world.items import KINDS
from thinklab.tasks.world.split import CORPUS_LENGTHS

HIDDEN, LAYERS = 256, 4
LEARNING_RATE = 1.5e-3
PARTS = 4
CHECKPOINT = "checkpoint.pt"
LONGEST = 160
"""Longest continuation of a measurement, in tokens."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer(vocabulary(), PIECES)


def batches(seed: int, kinds: tuple[str, ...] = KINDS, size: int = BATCH) -> Callable[[int], list[str]]:
    """Documents for ``pretrain``: those of a step depend on its number alone, so a training can be resumed."""

    def documents(step: int) -> list[str]:
        rng = random.Random(f"world {seed} {step}")
        return [document(rng, kinds).text for _ in range(size)]

    return documents


def asking(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Ask:
    """Continuations at T=1, for ``world_gate``."""
    sampler = Sampler(max_new_tokens=LONGEST, eos_ids=(tokenizer.eos_token_id,), pad_id=tokenizer.pad_token_id)

    def ask(texts: list[str]) -> list[str]:
        ids = sampler(model, tokenizer(texts)["input_ids"], seed=len(texts))
        return tokenizer.batch_decode(ids, skip_special_tokens=True)

    return ask


def familiar(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, questions: int = 100) -> float:
    """Mean log10-probability that " I check:" follows an answer that is there."""
    rng = random.Random(997)
    items = [draw(rng, "test", KINDS[k % len(KINDS)], rng.choice(CORPUS_LENGTHS)) for k in range(questions)]
    contexts = [f"{i.question}\n{i.claim(i.gold).text} So \\boxed{{{i.gold}}}." for i in items]
    return sum(token_logps(model, tokenizer, c, " I check:").sum().item() for c in contexts) / questions


def make(
    out: Path, seed: int, steps: int = STEPS, questions: int = 100, kinds: tuple[str, ...] = KINDS, hidden: int = HIDDEN
) -> dict[str, Any]:
    """Train or resume, save, measure on ``questions`` held-out questions of each kind and length, and write the card.

    Returns:
        The contents of ``made.json``.

    Raises:
        StudentError: if the checkpoint in ``out`` is of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    tokenizer, documents = build_tokenizer(), batches(seed, kinds)
    recipe = {
        "corpus": "world",
        "seed": seed,
        "steps": steps,
        "kinds": list(kinds),
        "hidden": hidden,
        "layers": LAYERS,
        "vocabulary": len(tokenizer),
        "documents": crc32("\n".join(documents(0)).encode()),  # a checkpoint of another corpus is refused
    }
    model = small_llama(tokenizer, hidden, LAYERS)
    checkpoint = Checkpoint(out / CHECKPOINT, recipe)
    seconds = pretrain(
        model,
        tokenizer,
        documents,
        steps,
        learning_rate=LEARNING_RATE,
        parts=PARTS,
        positions=spread,
        seed=seed,
        checkpoint=checkpoint,
    )
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    model = LlamaForCausalLM.from_pretrained(out, dtype=torch.float32)  # measure what was saved, not what was trained
    model.eval()
    ask = asking(model, tokenizer)
    made = {
        **recipe,
        "seconds": round(seconds),
        "weights": sum(p.numel() for p in model.parameters()),
        "questions": questions,
        "figures": measure(ask, questions, kinds),
        "unprompted": {
            **unprompted(ask, 20 * questions),
            "log10 p( I check:) after an answer": round(familiar(model, tokenizer), 3),
        },
    }
    (out / "README.md").write_text(card(made), "utf-8")
    (out / "made.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    checkpoint.file.unlink()
    return made


def card(made: dict[str, Any]) -> str:
    """The model card, with figures measured on this student."""
    shown = [document(random.Random(k)) for k in range(60)]
    examples = "\n\n".join({d.act or d.kind: d.text for d in shown}.values())
    gate = "\n".join(f"| {kind} | {forced_check(made['figures'], kind):.3f} |" for kind in made["figures"])
    failed = failures(made["figures"])
    verdict = "**It fails the gate**: " + "; ".join(failed) + "." if failed else "It passes the gate."
    other = "".join(f"| {name} | {value} |\n" for name, value in made["unprompted"].items())
    return f"""# A base of thinklab's small world

A Llama of {made["layers"]} layers x {made["hidden"]} ({made["weights"] / 1e6:.2f} M weights, fp16) with a word-and-character
tokenizer, made by `python -m thinklab.students.make_world --steps {made["steps"]} --seed {made["seed"]}` in {made["seconds"]} s of
training. Load it with plain `from_pretrained`. What it is for: `docs/small-world.md`.

**Trained on** short synthetic English documents, made by `thinklab/students/world_corpus.py` and nothing else: other people's
answers to {", ".join(made["kinds"])}, four of five in one go; checks and reflections about other people's answers; drills.
Nobody in it checks their own answer. No fact that is held out (`thinklab/tasks/world/split.py`) occurs in it, and
no question of more than {CORPUS_LENGTHS[-1]} steps.

```text
{examples}
```

**It cannot** do anything else. What holds for it need not hold for a large model.

{verdict} A forced check must be right in at least {GATE} of the held-out questions of {CORPUS_LENGTHS[0]} to {CORPUS_LENGTHS[-1]} steps:

| task | right after a forced check |
| --- | --- |
{gate}

Measured on {made["questions"]} held-out questions of each kind and length, sampled at T=1:

{table(made["figures"])}

| unprompted | |
| --- | --- |
{other}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=SMALL_WORLD)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument(
        "--questions", type=int, default=100, help="held-out questions of each kind and length for the measurement"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="fewer kinds of questions, for a trial")
    parser.add_argument("--hidden", type=int, default=HIDDEN, help="a narrower model, for a trial")
    args = parser.parse_args()
    made = make(args.out, args.seed, args.steps, args.questions, tuple(k for k in KINDS if k in args.kinds), args.hidden)
    print(table(made["figures"]))
    if failed := failures(made["figures"]):
        sys.exit(f"{args.out} fails its gate: {'; '.join(failed)}. Train it longer (--steps) before any study uses it")
    print(f"{args.out} passes its gate")


if __name__ == "__main__":
    main()
