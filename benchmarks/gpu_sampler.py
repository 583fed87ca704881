"""Tokens per second of every sampler that is installed, at the shape of Llama-3.2-3B: thinklab's two, ``generate``, Unsloth's and vLLM.

    python benchmarks/gpu_sampler.py [--rows 32 64] [--tokens 256] [--repeats 3] [--shrink]

Random weights in 16 bit, 8 answers to each question, all of full length (nothing ends one), T = 1; each sampler in a process of its own,
the first call warms up, the median of the others counts; the ratio is to ``generate``. What is missing prints ``not run`` and why.
``--shrink`` rehearses on a CPU in a tiny shape.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
SIDES = {
    "generate": "model.generate",
    "plain": "thinklab.sampler",
    "static": "thinklab.sampler.static (CUDA graph)",
    "unsloth": "Unsloth's generate",
    "vllm": "vLLM",
}
N = 8
NEVER = 10**9
"""An end-of-answer id that no token has."""


def measure(side: str, folder: str, rows: int, args) -> dict:
    """Tokens per second, or ``why`` not."""
    if side == "unsloth":
        try:
            import unsloth  # noqa: F401 - before what it patches
        except (ImportError, NotImplementedError) as error:
            return {"why": f"no Unsloth: {str(error).splitlines()[0][:80]}"}
    import torch

    cuda = torch.cuda.is_available() and not args.shrink
    prompts = torch.randint(5, 300, (rows // N, args.prompt), generator=torch.Generator().manual_seed(0)).tolist()
    try:
        once = maker(side, folder, prompts, args, cuda)
    except ImportError as error:
        return {"why": f"not installed: {error}"}
    counts, seconds = 0, []
    for repeat in range(args.repeats + 1):
        began = time.perf_counter()
        counts = once(repeat)
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return {"rate": counts / statistics.median(seconds[1:]), "device": torch.cuda.get_device_name() if cuda else "CPU, 1 thread"}


def maker(side: str, folder: str, prompts: list[list[int]], args, cuda: bool):
    """A function of a seed that samples once and returns how many tokens it drew."""
    import torch

    if side == "vllm":
        if not cuda:
            raise ImportError("vLLM needs a GPU")
        from vllm import LLM, SamplingParams

        engine = LLM(
            model=folder,
            skip_tokenizer_init=True,
            dtype="bfloat16" if torch.cuda.is_bf16_supported() else "float16",
            max_model_len=args.prompt + args.tokens,
            gpu_memory_utilization=0.5,
        )
        how = SamplingParams(n=N, temperature=1.0, max_tokens=args.tokens, ignore_eos=True, detokenize=False)
        return lambda seed: sum(
            len(a.token_ids)
            for r in engine.generate([{"prompt_token_ids": p} for p in prompts], how, use_tqdm=False)
            for a in r.outputs
        )
    from thinklab.sampler import GenerateSampler, Sampler
    from thinklab.sampler.static import StaticSampler

    if side == "unsloth":
        if not cuda:
            raise ImportError("Unsloth needs a GPU")
        from unsloth import FastLanguageModel

        model, _ = FastLanguageModel.from_pretrained(
            model_name=folder, max_seq_length=args.prompt + args.tokens, load_in_4bit=False
        )
        FastLanguageModel.for_inference(model)
    else:
        from transformers import AutoModelForCausalLM

        half = torch.bfloat16 if cuda and torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=half if cuda else torch.float32)
        model = model.to("cuda" if cuda else "cpu").eval()
        model.generation_config.eos_token_id = None
    kinds = {"plain": Sampler, "static": StaticSampler}
    sampler = kinds.get(side, GenerateSampler)(args.tokens, (NEVER,), 0)
    return lambda seed: sum(map(len, sampler(model, prompts, N, seed)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[32, 64], help="answers at once, multiples of 8")
    parser.add_argument("--tokens", type=int, default=256, help="of each answer")
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shrink", action="store_true", help="rehearse on a CPU")
    parser.add_argument("--one", nargs=3, metavar=("SIDE", "FOLDER", "ROWS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.shrink:
        args.rows, args.tokens, args.prompt, args.layers, args.repeats = [8], 24, 16, 2, 1
    if args.one:
        print(json.dumps(measure(args.one[0], args.one[1], int(args.one[2]), args)))
        return
    from tests.support.tiny_llama import make_llama

    shape = (64, 64, args.layers, 8, 4, 2_000) if args.shrink else (3072, 8192, args.layers, 24, 8, 128_256)
    with tempfile.TemporaryDirectory() as folder:
        path = make_llama(Path(folder) / "llama", *shape)
        found = {(side, rows): child(side, str(path), rows) for rows in args.rows for side in SIDES}
    device = next((f["device"] for f in found.values() if "device" in f), "nothing ran")
    print(
        f"Llama-3.2-3B shape ({args.layers} layers){', SHRUNK' if args.shrink else ''}, {args.prompt} prompt tokens, {args.tokens} tokens "
        f"an answer, {device}, medians of {args.repeats}\n"
    )
    print("| sampler | answers at once | tokens per second | ratio |\n| --- | --- | --- | --- |")
    for (side, rows), got in found.items():
        base = found["generate", rows].get("rate")
        ratio = f"{got['rate'] / base:.2f}" if base and "rate" in got else ""
        rate = f"{got['rate']:,.0f}" if "rate" in got else f"not run ({got['why']})"
        print(f"| {SIDES[side]} | {rows} | {rate} | {ratio} |")
    if "rate" not in found["static", args.rows[0]]:
        sys.exit("thinklab's own sampler did not run")


def child(side: str, folder: str, rows: int) -> dict:
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--one", side, folder, str(rows)], capture_output=True, text=True
    )
    if done.returncode:
        return {"why": (done.stderr.strip().splitlines() or ["no reason given"])[-1][:160].replace("|", "/")}
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
