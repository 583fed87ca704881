"""ThinkTuning in a TRL script of your own: your dataset, your reward function, TRL's config; thinklab adds the teacher.

    python examples/plain_trl.py [STEPS] [FOLDER]

Runs on a CPU in a minute with the embedded student. For real use change the model, the dataset, the reward and the teacher:
``load_teacher("openai", model=..., base_url=...)`` or ``load_teacher("anthropic", model=...)`` in place of the rule below.
"""

import re
import sys

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from thinklab import ThinkTuningTrainer, load_behavior, load_task, load_teacher
from thinklab.guide import Guide, Schedule
from thinklab.students import TINY

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20
folder = sys.argv[2] if len(sys.argv) > 2 else "runs/plain-trl"


def numbers(text):
    return [int(x) for x in re.findall(r"\d+", text)]


def correct(completions, answer, **_):
    """A reward function as TRL wants it: 1 where the last box holds the answer."""
    boxes = [re.findall(r"\\boxed\{(\d+)\}", c[0]["content"]) for c in completions]
    return [float(bool(found) and found[-1] == gold) for found, gold in zip(boxes, answer, strict=True)]


def add_again(request):
    """The teacher, as a rule: adds the numbers of the question once more, in the form that every teacher answers in."""
    total, *rest = numbers(request.example.question)
    worked = []
    for n in rest:
        worked.append(f"{total}+{n}={total + n}.")
        total += n
    right = [str(total)] == re.findall(r"\\boxed\{(\d+)\}", request.response)[-1:]
    return (
        f"<opinion>{'correct' if right else 'incorrect'}</opinion><reason>I check: {' '.join(worked)}</reason>"
        f"<phrase>So \\boxed{{{total}}}.</phrase>"
    )


tokenizer = AutoTokenizer.from_pretrained(TINY)
model = AutoModelForCausalLM.from_pretrained(TINY, dtype="float32")
questions = load_task("sums", terms=[2, 4]).load("train")[:600]
dataset = Dataset.from_list([{"prompt": [{"role": "user", "content": q.question}], "answer": q.gold} for q in questions])

guide = Guide(
    teacher=load_teacher("scripted", rule=add_again),
    behaviors=[(load_behavior("self-check"), 1.0)],  # what is taught, with its weight in the mixture
    tokenizer=tokenizer,
    schedule=Schedule(0.25),  # 2 of the 8 answers to each question
    max_tokens=60,
)
trainer = ThinkTuningTrainer(
    model=model,
    processing_class=tokenizer,
    args=GRPOConfig(
        output_dir=folder,
        max_steps=steps,
        learning_rate=1e-3,
        per_device_train_batch_size=48,
        num_generations=8,
        max_completion_length=72,
        logging_steps=1,
        save_steps=max(1, steps // 2),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
    train_dataset=dataset,
    reward_funcs=correct,
    guide=guide,
)
trainer.train()  # raises TeacherError when the teacher fails for good; a checkpoint is kept

for line in trainer.state.log_history:
    if "guided_fraction" in line:
        print(
            f"step {line['step']:3}  reward {line['reward']:.2f}  guided {line['guided_fraction']:.0%}  "
            f"shows it unasked {line['own/behavior']:.0%}"
        )  # who shows it is not guided any more
