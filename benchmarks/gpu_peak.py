"""Peak GPU memory of a training run at the shape of Llama-3.2-3B: is it under 14.5 GB? Random weights, made on the spot.

    python benchmarks/gpu_peak.py [--layers 28] [--kind unsloth] [--limit 14.5] [--cap] [--without-bf16] [--steps 5]
    python benchmarks/gpu_peak.py --shrink                    # the same code on a CPU in a tiny shape, without figures of memory

4-bit nf4, LoRA r=16, n=8, 512 + 1,024 tokens, guidance 256: what the profile ``t4`` says. The longest possible batch
goes first, real steps follow. ``--cap`` lets PyTorch have no more than the limit, whatever the card has; ``--without-bf16`` makes a newer
card say that it has none, as a T4 does, so that training is in fp16 with a loss scaler. Gradients are checked to be finite. Needs an
NVIDIA GPU; not run yet. Exit 1 above the limit, or where a step's gradient is not finite.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from dataclasses import replace
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
    parser.add_argument("--cap", action="store_true", help="PyTorch may take no more than --limit")
    parser.add_argument("--without-bf16", action="store_true", help="the card says that it has no bf16")
    parser.add_argument("--shrink", action="store_true", help="rehearse on a CPU")
    args = parser.parse_args()
    if args.shrink:
        args.kind, args.layers = "transformers", 2
    try:
        import_first(args.kind)
    except StudentError as error:
        sys.exit(str(error))
    import torch

    cuda = torch.cuda.is_available() and not args.shrink
    if not cuda and not args.shrink:
        sys.exit("gpu_peak.py needs an NVIDIA GPU; there is none here, so nothing was measured")
    from tests.support.tiny_llama import make_llama
    from thinklab.config.experiment import Experiment
    from thinklab.experiment.build import build

    if args.without_bf16:
        torch.cuda.is_bf16_supported = lambda including_emulation=True: False
    if args.cap and cuda:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, args.limit * 2**30 / total))
    shape = (3072, 8192, args.layers, 24, 8) if not args.shrink else (64, 64, args.layers, 8, 4)
    small = {"max_prompt_tokens": 120, "max_completion_tokens": 24, "sample_rows": 8, "micro_batch": 4} if args.shrink else {}
    with tempfile.TemporaryDirectory() as folder:
        path = make_llama(Path(folder) / "llama", *shape, vocabulary=2_000 if args.shrink else 128_256)
        config = Experiment.model_validate(
            {
                "profile": args.profile,
                "student": {
                    "kind": args.kind,
                    "path": str(path),
                    **({"quantize": "none", "dtype": "float32"} if args.shrink else {}),
                },
                "task": {"name": "sums", "terms": [2, 4]},
                "behaviors": ["self-check"],
                "teacher": {"backend": "scripted", "rule": "sums-check"},
                "guards": {"action": "off"},
                "guidance": {"max_tokens": 48 if args.shrink else 256},
                "reward": {"require_finished": False},
                "probe": {"questions": 2, "every": 0},
                "train": {"steps": args.steps, "questions": 1, "longest_batch_first": True, "checkpoint_every": 0, **small},
            }
        )
        _reset(cuda)
        session = build(config, Path(folder) / "run")
        loaded, dry = torch.cuda.memory_allocated() if cuda else 0, session.fits.peak_bytes or 0
        _reset(cuda)
        score = session.trainer.score

        def spread(rollouts):  # random weights earn nothing, and equal rewards have no gradient
            return [replace(r, rewards={**r.rewards, "correct": float(k % 2)}) for k, r in enumerate(score(rollouts))]

        session.trainer.score = spread
        session.train()
        step, reserved = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()) if cuda else (0, 0)
        lengths = [len(line["student_ids"]) for line in session.run.read("rollouts")]
        norms = [line["grad_norm"] for line in session.run.read("metrics") if "grad_norm" in line]
        scaler = session.trainer.accelerator.scaler
    print(
        f"Llama-3.2-3B shape ({args.layers} layers){', SHRUNK' if args.shrink else ''}, "
        f"{args.kind}, {config.student.quantize}, {config.student.dtype}, "
        f"LoRA r={config.student.lora.r}, n={config.train.samples}, {config.train.max_prompt_tokens} + "
        f"{config.train.max_completion_tokens} tokens, guidance {config.guidance.max_tokens}, micro-batch {config.train.micro_batch}, "
        f"{torch.cuda.get_device_name() if cuda else 'CPU'}, longest answer {max(lengths)} tokens\n"
    )
    print("| what | value |\n| --- | --- |")
    for name, value in (
        ("weights and adapter, loaded", loaded),
        ("dry run, peak allocated", dry),
        ("real steps, peak allocated", step),
        ("real steps, peak reserved", reserved),
    ):
        print(f"| {name} | {f'{value / 2**30:.2f} GB' if cuda else 'not run (no GPU)'} |")
    print(f"| sampled by | {type(session.trainer.sampler).__name__} |")
    print(f"| gradient norms of {len(norms)} steps | {', '.join(f'{float(x):.3g}' for x in norms)} |")
    print(f"| loss scaler | {'none' if scaler is None else f'scale {scaler.get_scale():.0f}'} |")
    wrong = [x for x in norms if not math.isfinite(float(x))]
    if not any(float(x) for x in norms):
        sys.exit("no step had a gradient")
    if wrong and (scaler is None or len(wrong) == len(norms)):  # a scaler skips its first steps until its scale fits
        sys.exit(f"{len(wrong)} of {len(norms)} steps have a gradient that is not finite")
    if args.without_bf16 and cuda and scaler is None:
        sys.exit("the card says that it has no bf16, and there is no loss scaler")
    if max(dry, step) > args.limit * 2**30:
        sys.exit(f"above {args.limit} GB")


def _reset(cuda: bool) -> None:
    if cuda:
        import torch

        torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
