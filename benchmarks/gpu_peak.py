"""Peak GPU memory of a training run at the shape of Llama-3.2-3B: is it under 14.5 GB? Random weights, made on the spot.

    python benchmarks/gpu_peak.py [--layers 28] [--kind unsloth] [--limit 14.5]

4-bit nf4, LoRA r=16, n=8, 512 + 1,024 tokens, guidance 256: what the profile ``t4`` says. The longest possible batch goes
first (``train.longest_batch_first``), one real step follows with answers of full length. Needs an NVIDIA GPU; not run yet.
Exit 1 above the limit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from thinklab.errors import StudentError
from thinklab.students.unsloth_first import import_first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="unsloth", choices=["unsloth", "transformers"])
    parser.add_argument("--profile", default="t4")
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--limit", type=float, default=14.5, help="GB (2^30 bytes)")
    args = parser.parse_args()
    try:
        import_first(args.kind)
    except StudentError as error:
        sys.exit(str(error))
    import torch

    if not torch.cuda.is_available():
        sys.exit("gpu_peak.py needs an NVIDIA GPU; there is none here, so nothing was measured")
    from tests.support.tiny_llama import make_llama
    from thinklab.config.experiment import Experiment
    from thinklab.experiment.build import build

    with tempfile.TemporaryDirectory() as folder:
        path = make_llama(Path(folder) / "llama", 3072, 8192, args.layers, 24, 8, vocabulary=128_256)
        config = Experiment.model_validate(
            {
                "profile": args.profile,
                "student": {"kind": args.kind, "path": str(path)},
                "task": {"name": "sums", "terms": [2, 4]},
                "behaviors": ["self-check"],
                "teacher": {"backend": "scripted", "rule": "sums-check"},
                "guards": {"action": "off"},
                "reward": {"require_finished": False},
                "probe": {"questions": 2, "every": 0},
                "train": {"steps": args.steps, "questions": 1, "longest_batch_first": True, "checkpoint_every": 0},
            }
        )
        torch.cuda.reset_peak_memory_stats()
        session = build(config, Path(folder) / "run")
        loaded, longest = torch.cuda.memory_allocated(), session.fits.peak_bytes
        torch.cuda.reset_peak_memory_stats()
        session.train()
        step, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        lengths = [len(line["student_ids"]) for line in session.run.read("rollouts")]
    print(
        f"Llama-3.2-3B shape ({args.layers} layers), {args.kind}, {config.student.quantize}, LoRA r={config.student.lora.r}, n="
        f"{config.train.samples}, {config.train.max_prompt_tokens} + {config.train.max_completion_tokens} tokens, guidance "
        f"{config.guidance.max_tokens}, micro-batch {config.train.micro_batch}, {torch.cuda.get_device_name()}"
        f", longest answer {max(lengths)} tokens\n"
    )
    print("| stage | GB |\n| --- | --- |")
    for name, value in (
        ("weights and adapter, loaded", loaded),
        ("longest batch, peak allocated", longest),
        ("a real step, peak allocated", step),
        ("a real step, peak reserved", reserved),
    ):
        print(f"| {name} | {value / 2**30:.2f} |")
    if max(longest, step) > args.limit * 2**30:
        sys.exit(f"above {args.limit} GB")


if __name__ == "__main__":
    main()
