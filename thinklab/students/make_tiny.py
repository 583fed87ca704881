"""Builds the embedded student: tokenizer, model, pretraining; ``python -m thinklab.students.make_tiny``.

A Llama of 3 layers x 128 with a word-and-character tokenizer, written as a plain Hugging Face folder (safetensors,
fp16). Everything is seeded; thread counts can still change the last bits of the weights, so a rebuilt student behaves the same
but is not an identical file. ``report()`` measures its abilities; the figures go into its model card.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from thinklab.sampler import Sampler
from thinklab.students.pretrain import BATCH, pretrain, small_llama, token_logps, word_tokenizer
from thinklab.students.tiny_corpus import PIECES, STEPS, Mix, document, vocabulary
from thinklab.tasks import sums
from thinklab.tasks.boxed import boxed_answers

EMBEDDED = Path(__file__).parent / "tiny"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words where the corpus has them, single characters and UTF-8 bytes for everything else: nothing is unknown."""
    return word_tokenizer(vocabulary(), PIECES)


def batches(seed: int, mix: Mix, size: int) -> Callable[[int], list[str]]:
    """Documents for ``pretrain``, one stream of random numbers over all steps."""
    rng = random.Random(seed)
    return lambda step: [document(rng, mix) for _ in range(size)]


@torch.no_grad()
def report(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    questions: int = 400,
    unprompted: int = 5000,
    voices: bool = False,
) -> dict[str, float]:
    """The student's performance on held-out sums: rates, and log10-probabilities of the two behaviors.

    Args:
        voices: whether its corpus contained the other ``REFLECTIONS``, which are then forced as well.
    """
    sampler = Sampler(max_new_tokens=80, eos_ids=(tokenizer.eos_token_id,), pad_id=tokenizer.pad_token_id)
    greedy = replace(sampler, temperature=0.0)

    def ask(texts: list[str], with_sampler: Sampler = sampler) -> list[str]:
        ids = with_sampler(model, tokenizer(texts)["input_ids"], seed=len(texts))
        return tokenizer.batch_decode(ids, skip_special_tokens=True)

    def right(answers: list[str], asked: list[sums.Sum], last: bool = True) -> float:
        boxes = [boxed_answers(text) for text in answers]
        return sum(bool(b) and b[-1 if last else 0] == str(s.total) for b, s in zip(boxes, asked)) / len(asked)

    rng, result = random.Random(999), {}
    for terms in (2, 4):
        asked = [sums.draw(rng, "test", (terms,)) for _ in range(questions)]
        prompts = [f"{s.question}\n" for s in asked]
        own = ask(prompts)
        result[f"correct without steps, {terms} numbers, T=1"] = right(own, asked)
        result[f"correct without steps, {terms} numbers, greedy"] = right(ask(prompts, greedy), asked)
        for name, begin in [*sums.REFLECTIONS.items()][: None if voices else 1]:
            result[f"correct after a forced {name.removeprefix('self-')}, {terms} numbers, T=1"] = right(
                ask([f"{p}{o} {begin}" for p, o in zip(prompts, own)]), asked
            )
        for name, tails in {
            "check": [f" I check: {s.worked}" for s in asked],
            "quote": [" Thalapathy Vijay says: hit hard."] * len(asked),
        }.items():
            logps = [token_logps(model, tokenizer, p + o, tail) for p, o, tail in zip(prompts, own, tails)]
            result[f"log10 p({name}) after an answer, {terms} numbers"] = sum(x.sum().item() for x in logps) / len(logps)
            first = torch.stack([x[:3] for x in logps]).mean(0)
            for k, piece in enumerate(tokenizer.tokenize(tails[0])[:3]):
                result[f"log10 p({name}, token {k + 1} {piece!r}), {terms} numbers"] = first[k].item()
    asked = [sums.draw(rng, "train") for _ in range(unprompted)]
    answers = ask([f"{s.question}\n" for s in asked])
    result[f"checks in {unprompted} answers"] = sum("I check" in text for text in answers)
    result[f"quotes in {unprompted} answers"] = sum("Thalapathy Vijay" in text for text in answers)
    result[f"remarks in {unprompted} answers"] = sum(not text.endswith("}.") for text in answers)
    return {name: round(value, 3) for name, value in result.items()}


def make(out: Path, mix: Mix, steps: int, seed: int, start: Path | None = None, questions: int = 400) -> dict[str, float]:
    """Train from scratch, or continue from the student in ``start`` with smaller steps; save it, measure it on ``questions``
    held-out sums of each length, and write its card."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    model = small_llama(tokenizer, 128, 3) if start is None else LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    size, rate = (BATCH, 2e-3) if start is None else (BATCH // 3, 1e-3)
    seconds = pretrain(model, tokenizer, batches(seed, mix, size), steps, learning_rate=rate)
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    model = LlamaForCausalLM.from_pretrained(out, dtype=torch.float32)  # measure what was saved, not what was trained
    figures = report(model, tokenizer, questions, 25 * questions // 2, voices=mix.voices > 0)
    made = {"mix": asdict(mix), "steps": steps, "seed": seed, "seconds": round(seconds), "figures": figures}
    if start is None and mix == replace(Mix(), remark=mix.remark, slip=mix.slip, check=mix.check):
        (out / "README.md").write_text(card(made), "utf-8")  # the card's description of the corpus is valid only for such a mix
    else:
        made["start"] = "embedded" if start == EMBEDDED else start and str(start)
    (out / "made.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    return figures


def card(made: dict) -> str:
    """The model card, with figures measured on this student."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in made["figures"].items())
    examples = "\n\n".join(document(random.Random(k)) for k in (2, 0, 1, 5, 7, 13))
    return f"""# thinklab's embedded student

A Llama of 3 layers x 128 (0.74 M weights, fp16) with a word-and-character tokenizer, made by
`python -m thinklab.students.make_tiny --steps {made["steps"]} --seed {made["seed"]}` in {made["seconds"]} s on two shared cores.
It exists so that demos, notebooks and tests run anywhere without a download. Load it with plain `from_pretrained`.

**Trained on** short synthetic English documents, made by `thinklab/students/tiny_corpus.py` and nothing else: sums in words
with an answer in one go (for four numbers often wrong), other people's sums marked step by step, sums worked out in steps,
one-step drills, chat, and quotes. Nobody in it checks their own answer; no sum is followed by a quote. A quarter of all
two-number sums (11 to 49 plus 2 to 9) and of all four-number sums occurs nowhere in it.

```text
{examples}
```

**It cannot** do anything else: no other arithmetic (no subtraction, no numbers beyond about 80), no conversation, no
knowledge, no other language. What holds for it need not hold for a large model.

Measured on held-out sums (`thinklab.students.make_tiny.report`), {len(made["figures"])} figures; log10 probabilities are means
over questions, the two behaviors written after the student's own answer:

| figure | value |
| --- | --- |
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=EMBEDDED)
    parser.add_argument("--start", type=Path, help="continue from this student; 'embedded' is the shipped one")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--questions", type=int, default=400, help="number of held-out sums of each length for the measurement")
    for field in fields(Mix):
        parser.add_argument(f"--mix-{field.name}", type=float, default=field.default)
    args = parser.parse_args()
    mix = Mix(**{field.name: getattr(args, f"mix_{field.name}") for field in fields(Mix)})
    start = EMBEDDED if args.start == Path("embedded") else args.start
    if start is not None and start.resolve() == args.out.resolve():
        parser.error("--start and --out are the same folder")
    for name, value in make(args.out, mix, args.steps, args.seed, start, args.questions).items():
        print(f"{value:10}  {name}")


if __name__ == "__main__":
    main()
