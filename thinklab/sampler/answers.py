"""``Answers``: the ids of one call while they are sampled; tells when those to one prompt have all ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Done = Callable[[int, list[list[int]]], None]


class Answers:
    """Q prompts, n answers to each, of T tokens at most.

    Args:
        limits: most tokens for the answers to each prompt, where some may have fewer than T.
        on_done: called once for each prompt with its index and its answers.
    """

    def __init__(
        self,
        prompts: int,
        n: int,
        tokens: int,
        pad_id: int,
        device: torch.device,
        limits: Sequence[int] | None = None,
        on_done: Done | None = None,
    ):
        self.n = n
        self.ids = torch.full((prompts * n, tokens), pad_id, device=device)
        """(Q * n, T)"""
        self.length = torch.zeros(prompts * n, dtype=torch.long, device=device)
        self.most = torch.full_like(self.length, tokens)
        if limits is not None:
            self.most = self.most.minimum(torch.tensor(limits, device=device).repeat_interleave(n))
        self._on_done = on_done
        self.waiting = set(range(prompts)) if on_done is not None else set()
        """Prompts whose answers somebody waits for."""

    def tell(self, running: set[int]) -> None:
        """Hand out the answers to all prompts but ``running``, each once."""
        for k in sorted(self.waiting - running):
            self.waiting.discard(k)
            if self._on_done is not None:
                self._on_done(k, self.lists(slice(k * self.n, (k + 1) * self.n)))

    def lists(self, rows: slice = slice(None)) -> list[list[int]]:
        """The ids so far, row by row."""
        return [ids[:count] for ids, count in zip(self.ids[rows].tolist(), self.length[rows].tolist())]
