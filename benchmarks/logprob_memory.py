"""Peak memory and time of the log-probs of chosen tokens, forward and backward, entropy included, for one large vocabulary.

    python benchmarks/logprob_memory.py [--tokens 8192] [--dtype bfloat16] [--repeats 3]

Compares, in the same run and interleaved, each time in a process of its own: TRL's plain path (all logits, then
``selective_log_softmax_and_entropy``), TRL's chunked path (``ChunkedLogProbFunction``) and thinklab's. The head's weights
are frozen, as with LoRA. Peak: what is added to the inputs and the weights. Time on a CPU: processor time of one thread,
which hardly depends on what else the machine does; on a GPU: wall clock.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

PATHS = ("plain", "chunked", "thinklab")
NAMES = {"plain": "TRL, plain (all logits)", "chunked": "TRL, chunked", "thinklab": "thinklab"}


def measure(path: str, args) -> dict:
    """Seconds, peak bytes and a few values of one forward and backward pass."""
    import torch
    from trl.trainer.utils import selective_log_softmax_and_entropy

    try:  # a public name since TRL 1.15, private before; there it gives more than log-prob and entropy unless told not to
        from trl.kernels import ChunkedLogProbFunction

        more: tuple = (("entropy",),)
    except ImportError:
        from trl.trainer.utils import _ChunkedLogProbFunction as ChunkedLogProbFunction

        more = ()

    from thinklab.logprobs import head_logprobs

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dtype = getattr(torch, args.dtype)
    weight = torch.empty(args.vocabulary, args.hidden, dtype=dtype, device=device).normal_(std=0.02)
    hidden = torch.empty(args.tokens, args.hidden, dtype=dtype, device=device).normal_().requires_grad_(True)
    targets = torch.randint(0, args.vocabulary, (args.tokens,), device=device)
    pull = torch.randn(args.tokens, device=device)

    def once(hidden, targets, pull):
        if path == "plain":
            logits = torch.nn.functional.linear(hidden[None], weight)
            logps, entropy = selective_log_softmax_and_entropy(logits, targets[None], entropy_requires_grad=False)
            logps, entropy = logps[0], entropy[0]
            del logits
        elif path == "chunked":
            logps, entropy, *_ = ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1.0, 8192, None, 1.0, *more)
        else:
            logps, entropy = head_logprobs(hidden, weight, None, targets)
        (logps * pull).sum().backward()
        return logps.detach(), entropy.detach()

    small = slice(0, 8)  # libraries warm up outside the measurement
    once(hidden[small].detach().requires_grad_(True), targets[small], pull[small])
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        base, begin = torch.cuda.memory_allocated(), time.perf_counter()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
        base, begin = _high_water(), time.process_time()
    logps, entropy = once(hidden, targets, pull)
    if device == "cuda":
        torch.cuda.synchronize()
        seconds, peak = time.perf_counter() - begin, torch.cuda.max_memory_allocated() - base
    else:
        seconds, peak = time.process_time() - begin, _high_water() - base
    return {
        "seconds": seconds,
        "peak": peak,
        "logps": logps.float()[:64].tolist(),
        "entropy": entropy.float()[:64].tolist(),
        "grad": hidden.grad.float()[:64, :16].flatten().tolist(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU, 1 thread",
    }


def _high_water() -> int:
    """Bytes; of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=128_256)
    parser.add_argument("--hidden", type=int, default=3072)
    parser.add_argument("--tokens", type=int, default=8 * 1024)
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS), help="plain must be among them")
    parser.add_argument("--one", choices=PATHS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args)))
        return
    found: dict[str, list[dict]] = {path: [] for path in args.paths}
    for repeat in range(args.repeats):
        for path in args.paths[repeat % len(args.paths) :] + args.paths[: repeat % len(args.paths)]:
            out = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one", path], capture_output=True, text=True)
            if out.returncode:
                sys.exit(f"{NAMES[path]} ended with exit code {out.returncode} (out of memory?)\n{out.stderr[-500:]}")
            found[path].append(json.loads(out.stdout.splitlines()[-1]))
            print(
                f"# {repeat + 1}/{args.repeats} {NAMES[path]}: {found[path][-1]['seconds']:.2f} s, "
                f"{found[path][-1]['peak'] / 2**20:.0f} MB",
                file=sys.stderr,
                flush=True,
            )
    print(
        f"V={args.vocabulary:,}, H={args.hidden:,}, {args.tokens:,} tokens, {args.dtype}, {found['plain'][0]['device']}, "
        f"{args.repeats} interleaved repeats, medians\n"
    )
    print("| path | peak, MB | of plain | seconds | of plain | largest difference: log-prob, entropy, gradient |")
    print("| --- | --- | --- | --- | --- | --- |")
    plain = found["plain"]
    for path in args.paths:
        peak = statistics.median(f["peak"] for f in found[path])
        seconds = statistics.median(f["seconds"] for f in found[path])
        ratio = statistics.median(f["seconds"] / p["seconds"] for f, p in zip(found[path], plain, strict=True))
        share = peak / statistics.median(p["peak"] for p in plain)
        gaps = ", ".join(
            f"{max(abs(a - b) for a, b in zip(found[path][0][k], plain[0][k], strict=True)):.1e}"
            for k in ("logps", "entropy", "grad")
        )
        print(f"| {NAMES[path]} | {peak / 2**20:,.0f} | {share:.1%} | {seconds:.2f} | {ratio:.2f} | {gaps} |")


if __name__ == "__main__":
    main()
