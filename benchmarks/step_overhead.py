"""What ThinkTuning's step costs beside stock TRL GRPO's, with a teacher that is free, at equal tokens.

    python benchmarks/step_overhead.py [--steps 10] [--repeats 5]

Both trainers get recorded answers in place of sampling: ThinkTuning the student's part, onto which the real ``Guide`` with the
scripted teacher splices guidance for a quarter of the rollouts; stock TRL what came of that. So both train on the very same
token ids, with the same rewards (a spread in every group, so no row is idle), and what differs is the teacher, the guide,
the records, the log-prob path and the weights. Runs are interleaved; each step's processor time (wall clock on a GPU)
counts from the second step on.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from thinklab.behavior.behavior import load_behavior
from thinklab.config import cpu_allocator
from thinklab.guide.guide import Guide, Schedule
from thinklab.students.make_tiny import build_tokenizer
from thinklab.tasks import load_task
from thinklab.teachers import load_teacher
from thinklab.trainer import ThinkTuningTrainer

QUESTIONS, SAMPLES = 2, 8


class Recorded:
    """Answers from a list in place of sampling."""

    answers: list[list[int]]
    served, trained_on = 0, 0

    def _generate_single_turn(self, prompt_ids, *_, **__):
        rows = [self.answers[(self.served + k) % len(self.answers)] for k in range(len(prompt_ids))]
        self.served += len(rows)
        return [list(r) for r in rows], None

    def _compute_loss(self, model, inputs):
        self.trained_on = self.trained_on + int(inputs["completion_mask"].sum())
        return super()._compute_loss(model, inputs)


class Stock(Recorded, GRPOTrainer):
    pass


class Ours(Recorded, ThinkTuningTrainer):
    pass


class Clock(TrainerCallback):
    def __init__(self, now):
        self.now, self.seconds = now, []

    def on_step_begin(self, *_, **__):
        self.began = self.now()

    def on_step_end(self, *_, **__):
        self.seconds.append(self.now() - self.began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=8_000)
    parser.add_argument("--answer", type=int, default=96, help="longest answer in tokens")
    parser.add_argument("--guidance", type=int, default=80)
    args = parser.parse_args()
    cuda = torch.cuda.is_available()
    torch.set_num_threads(1)
    cpu_allocator.tune()
    tokenizer = build_tokenizer()
    rng, eos = random.Random(0), tokenizer.eos_token_id
    count = QUESTIONS * SAMPLES
    students = [[rng.randint(5, 500) for _ in range(rng.randint(args.answer // 4, args.answer))] for _ in range(count)]
    rewards = [float(rng.random()) for _ in range(count)]
    examples = load_task("sums", terms=[2, 4]).load("train")[:64]
    behavior, whole = load_behavior("self-check"), []

    def reward(completions, **_):
        return rewards[: len(completions)]

    def run(kind) -> tuple[list[float], int]:
        batches = []
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=args.hidden,
                intermediate_size=3 * args.hidden,
                num_hidden_layers=4,
                num_attention_heads=4,
                num_key_value_heads=4,
                vocab_size=args.vocabulary,
                pad_token_id=0,
                bos_token_id=2,
                eos_token_id=eos,
            )
        )
        model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
        rows = [{"prompt": [{"role": "user", "content": e.question}], "example_id": e.id} for e in examples]
        clock = Clock(time.perf_counter if cuda else time.process_time)
        with tempfile.TemporaryDirectory() as folder:
            config = GRPOConfig(
                output_dir=folder,
                max_steps=args.steps,
                per_device_train_batch_size=count,
                num_generations=SAMPLES,
                max_completion_length=args.answer + args.guidance,
                report_to="none",
                save_strategy="no",
                use_cpu=not cuda,
                bf16=cuda,
                logging_steps=1,
                disable_tqdm=True,
                beta=0.0,
                gradient_checkpointing=False,
                shuffle_dataset=False,
                log_level="error",
                remove_unused_columns=False,
            )
            more = {}
            if kind is Ours:
                guide = Guide(
                    load_teacher("scripted", rule="sums-check"),
                    [(behavior, 1.0)],
                    tokenizer,
                    Schedule(0.25),
                    max_tokens=args.guidance,
                )
                more = {"guide": guide, "examples": {e.id: e for e in examples}, "on_batch": batches.append}
            trainer = kind(
                model=model,
                args=config,
                processing_class=tokenizer,
                train_dataset=Dataset.from_list(rows),
                reward_funcs=[reward],
                callbacks=[clock],
                **more,
            )
            trainer.answers = whole if kind is Stock else [[*s, eos] for s in students]
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        if kind is Ours and not whole:
            whole.extend(list(r.completion_ids) for b in batches for r in b.rollouts)
            teachers.extend(len(r.teacher_ids) for b in batches for r in b.rollouts)
        return clock.seconds[1:], trainer.trained_on

    teachers: list[int] = []
    run(Ours)  # records what stock TRL will get
    found: dict[str, list[float]] = {"TRL's GRPO": [], "ThinkTuning, free teacher": []}
    kinds, tokens = dict(zip(found, (Stock, Ours), strict=True)), {}
    for repeat in range(args.repeats):
        for name in list(found)[:: 1 if repeat % 2 else -1]:
            seconds, tokens[name] = run(kinds[name])
            found[name].append(statistics.median(seconds))
    base = found["TRL's GRPO"]
    if len(set(tokens.values())) > 1:
        raise SystemExit(f"not the same tokens: {tokens}")
    where = torch.cuda.get_device_name() if cuda else "CPU, 1 thread"
    print(
        f"{count} rollouts a step, {sum(map(len, whole)) // args.steps:,} answer tokens of which {sum(teachers) // args.steps} "
        f"are the teacher's; Llama 4 x {args.hidden}, {args.vocabulary:,} tokens of vocabulary, LoRA r=16, {where}; "
        f"{args.repeats} interleaved runs of {args.steps} steps, medians; both trained on {max(tokens.values()):,} answer "
        "tokens a run\n"
    )
    print("| trainer | seconds a step | ratio |")
    print("| --- | --- | --- |")
    for name, seconds in found.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, base, strict=True))
        print(f"| {name} | {statistics.median(seconds):.3f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
