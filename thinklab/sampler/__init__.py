"""Stage 1: ``Sampler`` draws n answers to each question, at T = 1 by default; ``GenerateSampler`` by ``model.generate``.

Each question is prefilled once and its cache shared by its n answers; finished rows leave the batch. Ids are returned as
sampled, including EOS, so nothing is ever decoded and re-encoded.

Left out: speculative decoding, beams, logit processors. TRL's own generation (``sampler=None`` in the trainer) has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import DynamicCache, PreTrainedModel

from thinklab.errors import TrainingError
from thinklab.interop.renamed_arguments import cache_argument
from thinklab.sampler.answers import Answers, Done

NOT_FINITE = (
    "the model's probabilities are not finite, so it cannot be sampled; its weights are broken. The last checkpoint is kept; "
    "start a new run with a lower train.learning_rate"
)
COMPACT_BELOW = 0.8  # share of unfinished rows below which finished ones are dropped from the cache


@dataclass(frozen=True)
class Sampler:
    """``Sampler(...)(model, prompts, n, seed)``; see ``__call__``."""

    max_new_tokens: int
    eos_ids: tuple[int, ...]
    """Empty: every answer has ``max_new_tokens`` tokens."""
    pad_id: int
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    """1 samples from the full distribution, as the method requires."""
    rows: int = 0
    """Maximum number of answers at once; 0 = all. Smaller needs less memory; the samples depend on it."""

    @torch.no_grad()
    def __call__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        n: int = 1,
        seed: int = 0,
        limits: Sequence[int] | None = None,
        on_done: Done | None = None,
    ) -> list[list[int]]:
        """Sample ``n`` answers to each prompt.

        Args:
            model: any causal LM whose forward takes a ``DynamicCache``.
            prompts: Q lists of token ids, not padded.
            n: answers to each.
            seed: of a private generator; torch's global state is neither read nor changed.
            limits: maximum new tokens per prompt, if some have a limit below ``max_new_tokens``.
            on_done: called once for each prompt, in no fixed order, with its index and its ``n`` answers, when all of them are
                finished; others may still be in progress. Finished rows are detected when the batch shrinks, so this costs
                nothing but can come a few tokens late.

        Returns:
            Q * n lists of ids, the answers to one prompt side by side. A list that does not end in an EOS id was truncated at
            ``max_new_tokens`` or at its own limit.
        """
        device = next(model.parameters()).device
        generator = torch.Generator(device).manual_seed(seed)
        per_call = max(1, self.rows // n) if self.rows else max(1, len(prompts))
        found: list[list[int]] = []
        with _eval_mode(model):
            for start in range(0, len(prompts), per_call):
                some = slice(start, start + per_call)
                tell = None if on_done is None else _from_place(start, on_done)
                asked = prompts[some]
                answers = Answers(len(asked), n, self.max_new_tokens, self.pad_id, device, limits and limits[some], tell)
                self._sample(model, asked, answers, generator)
                answers.tell(set())
                found += answers.lists()
        return found

    def finished(self, ids: Sequence[int]) -> bool:
        """True when the answer ends in an EOS id."""
        return bool(ids) and ids[-1] in self.eos_ids

    def _prefill(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]
    ) -> tuple[torch.Tensor, DynamicCache, torch.Tensor, torch.Tensor]:
        """Each question once: (Q, V) logits of the next token, the cache, (Q, P) mask, (Q, 1) position of the last token."""
        ids, mask = _left_padded(prompts, self.pad_id, next(model.parameters()).device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache(config=model.config)
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            **cache_argument(model, cache),
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return logits, cache, mask, positions[:, -1:]

    def _sample(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], answers: Answers, generator: torch.Generator
    ) -> None:
        """Fill ``answers``."""
        logits, cache, mask, last = self._prefill(model, prompts)
        n, out, length, most = answers.n, answers.ids, answers.length, answers.most
        if n > 1:
            cache.batch_repeat_interleave(n)
            logits, mask, last = (x.repeat_interleave(n, 0) for x in (logits, mask, last))

        eos = torch.tensor(self.eos_ids, device=out.device, dtype=torch.long)
        rows = torch.arange(len(out), device=out.device)  # which answer each row of the cache belongs to
        running = torch.ones_like(rows, dtype=torch.bool)
        for step in range(self.max_new_tokens):
            token = self._choose(logits, generator)
            out[rows[running], step] = token[running]
            length[rows[running]] = step + 1
            running &= ~torch.isin(token, eos) & (length[rows] < most[rows])
            alive = int(running.sum())
            if alive == 0 or step + 1 == self.max_new_tokens:
                break
            if alive < COMPACT_BELOW * len(rows):
                keep = running.nonzero()[:, 0]
                cache.batch_select_indices(keep)
                mask, last, rows, token, running = (x[keep] for x in (mask, last, rows, token, running))
                if answers.waiting:
                    answers.tell(set((rows // n).tolist()))
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
            last = last + running[:, None]  # a finished row keeps its position, so it never exceeds the model's maximum
            logits = model(
                input_ids=token[:, None], attention_mask=mask, position_ids=last, **cache_argument(model, cache), use_cache=True
            ).logits[:, -1]

    def _choose(self, logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """(B, V) -> (B,)"""
        if self.temperature == 0:
            return logits.argmax(-1)
        probs = self._probs(logits)
        try:
            return torch.multinomial(probs, 1, generator=generator)[:, 0]
        except RuntimeError as error:
            if torch.isfinite(probs).all():
                raise
            raise TrainingError(NOT_FINITE) from error

    def _probs(self, logits: torch.Tensor) -> torch.Tensor:
        """(B, V) -> (B, V), fp32: unnormalized sampling weights."""
        probs = torch.softmax(logits.float() / self.temperature, -1)
        if self.top_p < 1:
            ordered, index = probs.sort(-1, descending=True)
            ordered[ordered.cumsum(-1) - ordered >= self.top_p] = 0  # keeps the token that crosses the threshold
            probs = torch.zeros_like(probs).scatter(-1, index, ordered)
        return probs


@dataclass(frozen=True)
class GenerateSampler(Sampler):
    """The same through the model's own ``generate``: for Unsloth, whose patched forward requires its own cache.

    ``top_k``, ``top_p``, and penalties in the model's generation config are switched off: the answers must come
    from the distribution that is trained.
    """

    def _sample(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], answers: Answers, generator: torch.Generator
    ) -> None:
        device, n = answers.ids.device, answers.n
        ids, mask = _left_padded(prompts, self.pad_id, device)
        chosen = (
            {"do_sample": False, "temperature": 1.0, "top_p": 1.0}
            if self.temperature == 0
            else {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p}
        )
        generate = cast("Callable[..., torch.Tensor]", model.generate)  # the type of a model does not list it
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator, device=device)))
            out = generate(
                input_ids=ids.repeat_interleave(n, 0),
                attention_mask=mask.repeat_interleave(n, 0),
                max_new_tokens=self.max_new_tokens,
                pad_token_id=self.pad_id,
                top_k=0,
                repetition_penalty=1.0,
                use_cache=True,
                **self._ends(),
                **chosen,
            )
        sampled = out[:, ids.shape[1] :]
        answers.ids[:, : sampled.shape[1]] = sampled
        lengths = torch.tensor([len(self._until_eos(row)) for row in sampled.tolist()], device=device)
        answers.length.copy_(lengths.minimum(answers.most))

    def _ends(self) -> dict[str, Any]:
        """The arguments of ``generate``; without an EOS it would use the model's own, so it gets one that never occurs."""
        return {"eos_token_id": list(self.eos_ids) or [-1]}

    def _until_eos(self, ids: list[int]) -> list[int]:
        for place, token in enumerate(ids):
            if token in self.eos_ids:
                return ids[: place + 1]
        return ids


def _left_padded(prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, P) ids and mask; left padding, so that all rows end at the same position."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad_id, device=device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt, device=device)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


def _from_place(start: int, on_done: Done) -> Done:
    return lambda place, answers: on_done(start + place, answers)


@contextmanager
def _eval_mode(model: PreTrainedModel) -> Iterator[None]:
    """Turns dropout off during sampling and restores the model's mode. Unsloth's models have their own switches."""
    training = model.training
    to_inference, to_training = getattr(model, "for_inference", model.eval), getattr(model, "for_training", model.train)
    to_inference()
    try:
        yield
    finally:
        if training:
            to_training()
        else:
            model.eval()


def max_positions(model: PreTrainedModel) -> int | None:
    """Maximum tokens per text: as declared by the model, or less if Unsloth's kernels were prepared for less (they truncate
    longer texts). None if the model declares no limit."""
    declared = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    ready = getattr(model, "max_seq_length", None)
    return min((n for n in (declared, ready) if isinstance(n, int)), default=None)
