"""Log-probs of a batch with padding on both sides against plain logits of one row at a time, by the student's own kernels.

    python benchmarks/gpu_logprobs.py [--kind unsloth] [--quantize nf4] [--shrink]

Under Unsloth with xformers installed this shows whether the causal mask reaches its kernels: a model that sees later tokens is off by
whole nats. Exit 1 above 0.1 nats in 16 bit, 1e-3 in float32. ``--shrink`` rehearses on a CPU in a tiny shape.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from thinklab.errors import StudentError
from thinklab.students.unsloth_first import import_first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="unsloth", choices=["unsloth", "transformers"])
    parser.add_argument("--quantize", default="nf4", choices=["nf4", "none"])
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--shrink", action="store_true", help="rehearse on a CPU")
    args = parser.parse_args()
    if args.shrink:
        args.kind, args.quantize, args.layers = "transformers", "none", 2
    try:
        import_first(args.kind)
    except StudentError as error:
        sys.exit(str(error))
    import torch

    if not torch.cuda.is_available() and not args.shrink:
        sys.exit("gpu_logprobs.py needs an NVIDIA GPU; there is none here, so nothing was measured")
    from tests.support.tiny_llama import make_llama
    from thinklab.logprobs import chosen_logprobs
    from thinklab.students import load_student

    shape = (64, 64, args.layers, 8, 4, 2_000) if args.shrink else (3072, 8192, args.layers, 24, 8, 128_256)
    with tempfile.TemporaryDirectory() as folder:
        student = load_student(args.kind, str(make_llama(Path(folder) / "llama", *shape)), quantize=args.quantize)
        model, device = student.model, next(student.model.parameters()).device
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():  # a fresh adapter does nothing
            if "lora_B" in name:
                parameter.data.normal_(std=0.02)
        rows, prompt, completion = 4, 48, 64
        ids, mask = (
            torch.randint(5, 300, (rows, prompt + completion), device=device),
            torch.ones(rows, prompt + completion, device=device),
        )
        mask = mask.long()
        for row in range(rows):
            mask[row, : 5 * row], mask[row, prompt + completion - 7 * row :] = 0, 0
        ids = ids * mask
        model.train()
        half = next((p.dtype for p in model.parameters() if p.dtype in (torch.float16, torch.bfloat16)), torch.float32)

        def context():
            return torch.autocast(device.type, half, enabled=half != torch.float32)

        with torch.no_grad():
            found, _ = chosen_logprobs(model, ids, mask, completion, context=context)
            worst = 0.0
            for row in range(rows):
                real = mask[row].nonzero()[:, 0]
                with context():
                    every = model(input_ids=ids[row, real][None], use_cache=False).logits[0].float().log_softmax(-1)
                for place in real.tolist():
                    if place >= prompt:
                        plain = every[place - real[0] - 1, ids[row, place]]
                        worst = max(worst, abs(plain - found[row, place - prompt]).item())
    try:
        xformers = metadata.version("xformers")
    except metadata.PackageNotFoundError:
        xformers = "not installed"
    where = "CPU" if args.shrink else torch.cuda.get_device_name()
    print("| student | device | xformers | largest difference to plain logits, nats |\n| --- | --- | --- | --- |")
    print(f"| {args.kind}, {args.quantize}, {half}{', SHRUNK' if args.shrink else ''} | {where} | {xformers} | {worst:.1e} |")
    if not worst < (1e-3 if half == torch.float32 else 0.1):
        sys.exit("the log-probs are not those of the model")


if __name__ == "__main__":
    main()
