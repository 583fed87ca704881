"""``pretrain``: a small Llama from scratch on synthetic documents: tokenizer, model, and a resumable loop.

Shared by ``make_tiny`` and ``make_world``.

**Positions.** ``spread`` puts gaps into the positions of a document, so that distances beyond the longest document are trained as
well (randomized positions, Ruoss et al. 2023, arXiv 2305.16843); text is then sampled at plain positions. Their random sorted
positions would make neighbors rare, and every number is spelled in neighboring digits, so here a few gaps lie between tokens that
otherwise stay neighbors. A random offset would do nothing: rotary embeddings see differences of positions only.
"""

from __future__ import annotations

import math
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from thinklab.errors import StudentError

PAD, EOS = "<pad>", "<eos>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %}{{ message.content + eos_token }}"
    "{% else %}{{ message.content + '\n' }}{% endif %}{% endfor %}"
)
MAX_POSITIONS = 512
BATCH = 96
PLAIN_SHARE = 0.5
"""Share of documents without any gap, as all text is when it is sampled."""
GAPS = (1, 4)
"""Fewest and most gaps in any other document."""
WIDEST = 32
"""Most positions that one gap leaves out."""

Positions = Callable[[random.Random, int], list[int]]


def word_tokenizer(vocabulary: Sequence[str], pieces: re.Pattern[str]) -> PreTrainedTokenizerFast:
    """Whole words where ``vocabulary`` has them, single characters and UTF-8 bytes for everything else: nothing is unknown.

    Args:
        pieces: where the tokenizer may split.
    """
    every = [PAD, EOS, *(f"<0x{byte:02X}>" for byte in range(256)), *vocabulary]
    # Unigram picks the cut with the best total score, so one word (-1) beats its characters (-1 each, -10 a byte).
    scored = [(piece, 0.0 if i < 2 else -10.0 if i < 258 else -1.0) for i, piece in enumerate(every)]
    core = Tokenizer(models.Unigram(scored, unk_id=0, byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(pieces.pattern), "isolated")
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_POSITIONS,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def small_llama(tokenizer: PreTrainedTokenizerFast, hidden: int, layers: int) -> LlamaForCausalLM:
    """Random weights, four heads."""
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=int(2.75 * hidden),
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=MAX_POSITIONS,
            tie_word_embeddings=False,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def spread(rng: random.Random, length: int, longest: int = MAX_POSITIONS) -> list[int]:
    """Positions for a document of ``length`` tokens: rising, with a few gaps, all below ``longest``."""
    found = list(range(length))
    if rng.random() < PLAIN_SHARE:
        return found
    for _ in range(rng.randint(*GAPS)):
        at, width = rng.randrange(1, length), min(rng.randint(1, WIDEST), longest - 1 - found[-1])
        found[at:] = [p + width for p in found[at:]]
    return found


@dataclass(frozen=True)
class Checkpoint:
    """Where an unfinished training is kept, and how often. Deleted by whoever saves the finished model."""

    file: Path
    recipe: dict[str, Any]
    """A checkpoint of another recipe is refused."""
    every_s: float = 180.0

    def load(self, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
        """(steps done, seconds spent); (0, 0.0) if there is no checkpoint."""
        if not self.file.is_file():
            return 0, 0.0
        state = torch.load(self.file, weights_only=True)
        if state["recipe"] != self.recipe:
            raise StudentError(
                f"{self.file} is the checkpoint of another recipe ({state['recipe']}, not {self.recipe}): use another --out, or delete it"
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return state["step"], state["seconds"]

    def save(self, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, step: int, seconds: float) -> None:
        """A process that is killed while it writes leaves the checkpoint before."""
        new = self.file.with_suffix(".new")
        state = {"recipe": self.recipe, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**state, "step": step, "seconds": seconds}, new)
        os.replace(new, self.file)


def pretrain(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    documents: Callable[[int], list[str]],
    steps: int,
    *,
    learning_rate: float = 2e-3,
    log_every: int = 25,
    parts: int = 2,
    positions: Positions | None = None,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
) -> float:
    """Plain next-token training on fresh documents.

    Args:
        documents: the texts of one step, by its number. With a ``checkpoint`` they must depend on that number alone.
        parts: forward passes per step; documents are sorted by length, so more parts mean less padding.
        positions: position ids of one document, from (rng, length); None: plain ones.
        seed: of the positions.

    Returns:
        Seconds spent, those before a resume included.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    done, before = (0, 0.0) if checkpoint is None else checkpoint.load(model, optimizer)
    if done:
        print(f"resumed after step {done}/{steps}", flush=True)
    model.train()
    begin = saved = time.monotonic()
    seen = 0
    for step in range(done, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1, (step + 1) / 50) * max(0.02, 1 - step / steps)
        rng = random.Random(f"positions {seed} {step}")
        ids = tokenizer([text + EOS for text in documents(step)])["input_ids"]
        ids.sort(key=len)
        targets, total = sum(map(len, ids)) - len(ids), 0.0
        for k in range(parts):  # sorted by length: less padding
            part = ids[k * len(ids) // parts : (k + 1) * len(ids) // parts]
            width = max(map(len, part))
            rows = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in part])
            places = None if positions is None else torch.tensor([_padded(positions(rng, len(row)), width) for row in part])
            logits = model(
                input_ids=rows[:, :-1], position_ids=None if places is None else places[:, :-1], use_cache=False
            ).logits
            loss = (
                F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), ignore_index=tokenizer.pad_token_id, reduction="sum")
                / targets
            )
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seen, now = seen + targets, time.monotonic()
        if (step + 1) % log_every == 0:
            speed = seen / (now - begin)
            print(f"step {step + 1}/{steps}  loss {total:.3f}  {before + now - begin:.0f} s  {speed:.0f} tokens/s", flush=True)
        if checkpoint is not None and now - saved > checkpoint.every_s:
            checkpoint.save(model, optimizer, step + 1, before + now - begin)
            saved = now
    seconds = before + time.monotonic() - begin
    if checkpoint is not None:
        checkpoint.save(model, optimizer, steps, seconds)  # measuring takes minutes more, in which it may be killed
    return seconds


def _padded(positions: list[int], width: int) -> list[int]:
    return [*positions, *[positions[-1]] * (width - len(positions))]


@torch.no_grad()
def token_logps(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, context: str, tail: str) -> torch.Tensor:
    """log10-probability of each token of ``tail`` after ``context``."""
    before, after = (tokenizer(text)["input_ids"] for text in (context, tail))
    logits = model(input_ids=torch.tensor([before + after])).logits[0, len(before) - 1 : -1]
    return torch.log_softmax(logits.float(), -1).gather(-1, torch.tensor(after)[:, None])[:, 0] / math.log(10)
