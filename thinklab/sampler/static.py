"""``StaticSampler``: for a GPU: the decode step captured once as a CUDA graph and replayed.

The sampler for a GPU: the decode step is captured once as a CUDA graph and replayed, which removes the Python overhead of
every layer.

A graph replays the same kernels on the same memory. So the cache has a fixed size here (transformers' ``StaticCache``, which
counts its tokens in a tensor), finished rows keep decoding as padding, and the host reads back only every ``check_every``
tokens whether all rows are finished. The cache grows by ``SEGMENT`` tokens at a time, with a new graph each: a cache
of full length from the start would make attention read all of it for the first token. Finished rows are dropped at the same time.

The samples equal those of ``Sampler`` for the same seed as long as neither has dropped a row: with ``torch.multinomial``'s own
arithmetic (an
exponential for every probability, the largest quotient wins), written out because ``multinomial`` waits for the GPU at every
call.

Left out: sliding-window, linear and hybrid attention, whose caches are not a plain sequence of tokens; ``can_be_static`` sends
those models to ``Sampler``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import Cache, PreTrainedModel, StaticCache
from transformers.cache_utils import CacheLayerMixin, StaticLayer

from thinklab import sampler
from thinklab.errors import TrainingError
from thinklab.interop.peft_wrapper import without_peft
from thinklab.interop.renamed_arguments import cache_argument
from thinklab.sampler import NOT_FINITE, GenerateSampler, Sampler
from thinklab.sampler.answers import Answers

SEGMENT = 256
"""Tokens by which the cache grows."""

Step = Callable[[], None]
Capture = Callable[[Step, Step], Step]
"""``capture(step, undo)``: a cheaper equivalent of ``step``. ``undo`` reverts the effects of warm-up
steps."""


def can_be_static(model: PreTrainedModel) -> bool:
    """True if transformers declares that the forward has no data-dependent Python and every layer attends to all tokens."""
    inner = without_peft(model)
    config = inner.config.get_text_config(decoder=True)
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    return (
        getattr(inner, "_can_compile_fullgraph", False)
        and set(kinds) == {"full_attention"}
        and not getattr(config, "sliding_window", None)
        and config._attn_implementation in ("sdpa", "eager")
    )


def cuda_graph(step: Step, undo: Step) -> Step:
    """``step`` as a CUDA graph; ``step`` itself, with a warning, if it cannot be captured."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries allocate their workspaces outside the graph
        for _ in range(2):
            step()
            undo()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
    except RuntimeError as error:
        torch.cuda.synchronize()
        undo()
        warnings.warn(f"sampling continues without a CUDA graph, which is slower: {str(error).splitlines()[0]}", stacklevel=2)
        return step
    return graph.replay


@dataclass(frozen=True)
class StaticSampler(Sampler):
    """``Sampler`` with a static cache. Same arguments, same distribution; see the module."""

    check_every: int = 16
    """Tokens between checks for finished answers, the only points where the host waits for the GPU."""
    capture: Capture | None = None
    """None: ``cuda_graph`` on a GPU, nothing on a CPU."""

    def _sample(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], answers: Answers, generator: torch.Generator
    ) -> None:
        logits, prefilled, mask, last = self._prefill(model, prompts)
        n, out, length, most = answers.n, answers.ids, answers.length, answers.most
        device = out.device
        # a question's cache is repeated into each of its n rows
        source = torch.arange(len(prompts), device=device).repeat_interleave(n)
        logits, mask, last = logits[source], mask[source], last[source]
        rows = torch.arange(len(source), device=device)  # which answer each row of the cache belongs to
        running = torch.ones_like(rows, dtype=torch.bool)
        bad = torch.zeros((), dtype=torch.bool, device=device)
        eos = torch.tensor(self.eos_ids, device=device)
        cache: Cache = prefilled
        decode: _Decoder | None = None
        checked, state, drawn = 0, generator.get_state(), tuple(logits.shape)
        for step in range(self.max_new_tokens):
            token, finite = self._draw(logits, generator)
            bad |= ~finite
            out[:, step].index_copy_(0, rows, torch.where(running, token, self.pad_id))
            length.index_add_(0, rows, running.long())
            running &= ~(token[:, None] == eos).any(-1) & (length[rows] < most[rows])
            if step + 1 == self.max_new_tokens:
                break
            full = decode is None or (step and step % SEGMENT == 0)
            if (step + 1) % self.check_every == 0 or full:
                alive = running.tolist()  # the host waits here
                if bad:
                    raise TrainingError(NOT_FINITE)
                if not any(alive):
                    break
                if answers.waiting:
                    answers.tell({row // n for row, on in zip(rows.tolist(), alive) if on})
                checked, state = step + 1, generator.get_state()
                if full:
                    keep = torch.arange(len(rows), device=device)
                    if decode is not None and sum(alive) < sampler.COMPACT_BELOW * len(rows):
                        keep = running.nonzero()[:, 0]
                    rows, running, token, last = rows[keep], running[keep], token[keep], last[keep]
                    mask, source = mask[keep], source[keep] if decode is None else keep
                    room = min(SEGMENT + bool(decode is None), self.max_new_tokens - 1 - step)
                    decode = _Decoder(model, cache, source, mask, step, room, self._capture(device))
                    cache, logits = decode.cache, decode.logits
                    drawn = tuple(logits.shape)
            last = last + running[:, None]
            assert decode is not None, "the first step has made one"
            decode(token, last)
        if bad:
            raise TrainingError(NOT_FINITE)
        self._rewind(generator, state, int(length.max()) - checked, drawn, device)

    def _capture(self, device: torch.device) -> Capture:
        return self.capture or (cuda_graph if device.type == "cuda" else lambda step, undo: step)

    def _draw(self, logits: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, V) -> (B,) tokens, and () whether all probabilities were finite; without synchronizing with the host."""
        if self.temperature == 0:
            return logits.argmax(-1), torch.ones((), dtype=torch.bool, device=logits.device)
        probs = self._probs(logits)
        noise = torch.empty_like(probs).exponential_(1, generator=generator)
        return torch.div(probs, noise, out=noise).argmax(-1), torch.isfinite(probs).all()

    def _rewind(
        self, generator: torch.Generator, state: torch.Tensor, count: int, shape: tuple[int, ...], device: torch.device
    ) -> None:
        """Leaves ``generator`` where ``count`` draws after ``state`` leave it: draws after the last answer finished do not
        count, so that later questions get the same samples as from ``Sampler``."""
        generator.set_state(state)
        noise = torch.empty(shape, device=device)
        for _ in range(count if self.temperature else 0):
            noise.exponential_(1, generator=generator)


class _Decoder:
    """One segment: a static cache, and the step that adds one token to every row of it.

    Args:
        old: the cache so far, of any kind, emptied here; ``source`` (B,) says which of its rows each new row starts from.
        mask: (B, P) 0 on the left padding.
        made: answer tokens in ``old``.
        room: answer tokens to allocate.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        old: Cache,
        source: torch.Tensor,
        mask: torch.Tensor,
        made: int,
        room: int,
        capture: Capture,
    ):
        rows, prompt = mask.shape
        device, filled = mask.device, prompt + made
        self.cache = StaticCache(config=model.config, max_cache_len=filled + room)
        counters = []
        for new, layer in zip(self.cache.layers, old.layers, strict=True):
            assert isinstance(new, StaticLayer) and isinstance(layer, CacheLayerMixin), "can_be_static: full attention alone"
            keys, values = layer.keys, layer.values
            assert keys is not None and values is not None, "a cache that was used is not empty"
            new.lazy_initialization(keys[:1].expand(rows, -1, -1, -1), values[:1].expand(rows, -1, -1, -1))
            assert new.keys is not None and new.values is not None, "it was just made"
            new.keys[:, :, :filled] = keys[source, :, :filled]
            new.values[:, :, :filled] = values[source, :, :filled]
            new.cumulative_length.fill_(filled)
            counters.append(new.cumulative_length)
            layer.keys = layer.values = None  # layer by layer, or both caches would be in memory at once
            del keys, values
        self.mask = torch.cat([mask, mask.new_ones(rows, made + room)], 1)  # later positions are hidden by the causal mask
        self.token = torch.zeros((rows, 1), dtype=torch.long, device=device)
        self.last = torch.zeros_like(self.token)

        def forward() -> torch.Tensor:
            logits: torch.Tensor = model(
                input_ids=self.token,
                attention_mask=self.mask,
                position_ids=self.last,
                **cache_argument(model, self.cache),
                use_cache=True,
            ).logits[:, -1]
            return logits

        def step() -> None:
            self.logits.copy_(forward())

        def undo() -> None:
            for counter in counters:
                counter.fill_(filled)

        self.logits = torch.empty_like(forward())  # the buffer
        undo()
        self.step = capture(step, undo)

    def __call__(self, token: torch.Tensor, last: torch.Tensor) -> None:
        """Puts (B,) ``token`` at (B, 1) positions ``last``; afterward ``logits`` (B, V) are those of the token after it."""
        self.token.copy_(token[:, None])
        self.last.copy_(last)
        self.step()


def sampler_for(model: PreTrainedModel) -> type[Sampler]:
    """The class of sampler that ``model`` needs: Unsloth's models, known by their switch, go through their own ``generate``;
    others on an NVIDIA GPU use the static cache and CUDA graphs if possible."""
    if hasattr(model, "for_inference"):
        return GenerateSampler
    return StaticSampler if next(model.parameters()).is_cuda and can_be_static(model) else Sampler
