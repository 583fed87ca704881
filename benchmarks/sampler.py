"""Tokens per second of thinklab's sampler against ``model.generate``, n = 8 answers to each question, uneven lengths.

    python benchmarks/sampler.py [--shape small|1b|3b] [--questions 4] [--longest 128] [--repeats 5]

A Llama with random weights is made on the spot; its end-of-answer token is made likely enough that answers end at very
different places, as a trained student's do. Both sides sample at T = 1 from the same model; interleaved, medians. Only
tokens up to the end of an answer count. Time: processor time of one thread on a CPU, wall clock on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from thinklab.config import cpu_allocator
from thinklab.sampler import GenerateSampler, Sampler

SHAPES = {  # hidden, intermediate, layers, heads, key-value heads, vocabulary
    "small": (512, 1536, 8, 8, 4, 32_000),
    "1b": (2048, 8192, 16, 32, 8, 128_256),
    "3b": (3072, 8192, 28, 24, 8, 128_256),
}
EOS, PAD = 1, 0


def make(shape: str, device: str) -> LlamaForCausalLM:
    hidden, inner, layers, heads, kv, vocabulary = SHAPES[shape]
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        vocab_size=vocabulary,
        max_position_embeddings=4096,
        eos_token_id=EOS,
        pad_token_id=PAD,
        bos_token_id=2,
        tie_word_embeddings=False,
    )
    with torch.device(device):
        model = LlamaForCausalLM(config).to(torch.bfloat16 if device == "cuda" else torch.float32)
    return model.eval()


class EndsNow(torch.nn.Module):
    """The head, with P(end) = ``rate`` at every place: lengths are geometric, so most answers end long before the last."""

    def __init__(self, head: torch.nn.Linear, rate: float):
        super().__init__()
        self.head, self.rate = head, rate
        self.weight = head.weight

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = self.head(hidden)
        others = logits.clone()
        others[..., [EOS, PAD]] = -torch.inf
        logits[..., EOS] = others.logsumexp(-1) + torch.logit(torch.tensor(self.rate)).item()
        logits[..., PAD] = -torch.inf
        return logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of each question")
    parser.add_argument("--longest", type=int, default=128, help="at most so many tokens an answer")
    parser.add_argument("--mean", type=float, default=None, help="mean length before the cut; default: a quarter of --longest")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    cpu_allocator.tune()
    model = make(args.shape, device)
    model.lm_head = EndsNow(model.lm_head, 1 / (args.mean or args.longest / 4))
    torch.manual_seed(1)
    prompts = torch.randint(3, 32_000, (args.questions, args.prompt)).tolist()
    sides = {"model.generate": GenerateSampler(args.longest, (EOS,), PAD), "thinklab.sampler": Sampler(args.longest, (EOS,), PAD)}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    lengths: dict[str, list[int]] = {name: [] for name in sides}
    for repeat in range(args.repeats + 1):
        for name in list(sides)[:: 1 if repeat % 2 else -1]:
            if device == "cuda":
                torch.cuda.synchronize()
            began = (time.perf_counter if device == "cuda" else time.process_time)()
            answers = sides[name](model, prompts, args.samples, repeat)
            seconds = (time.perf_counter if device == "cuda" else time.process_time)() - began
            if repeat:  # the first round warms up
                rates[name].append(sum(map(len, answers)) / seconds)
                lengths[name] += map(len, answers)
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU, 1 thread"
    print(
        f"Llama {args.shape}, {args.questions} questions x {args.samples} answers, {args.prompt} prompt tokens, at most "
        f"{args.longest} tokens an answer, {where}, {args.repeats} interleaved repeats, medians\n"
    )
    print("| sampler | tokens per second | ratio | mean length (shortest to longest) |")
    print("| --- | --- | --- | --- |")
    for name in sides:
        ratio = statistics.median(a / b for a, b in zip(rates[name], rates["model.generate"], strict=True))
        found = lengths[name]
        print(
            f"| {name} | {statistics.median(rates[name]):,.0f} | {ratio:.2f} | {statistics.mean(found):.0f} "
            f"({min(found)} to {max(found)}) |"
        )


if __name__ == "__main__":
    main()
