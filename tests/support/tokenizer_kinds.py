"""Small real tokenizers of the kinds that a splice has to cope with, each trained here in a moment by the tokenizers library."""

from __future__ import annotations

import json

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tests.support.tiny_llama import random_llama

TEXTS = [
    "Tom has 12 figs and finds 7 more. How many?",
    "12+7=19. So \\boxed{19}.",
    "I check: 12+7=19.\n\nSo \\boxed{19}.",
    "Wait, the answer is 18. I think it is right.",
] * 4

CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
"""In the manner of Qwen3: thinks unless it is told not to."""

RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {"open": "<think>", "close_pattern": r"</think>\s*", "content": "text"},
        "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
    },
}
"""TRL's own for Qwen3, without tool calls."""

INST = "{% for m in messages %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endfor %}"


def thinking(response_template: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE like Qwen3's: ``<think>`` is an added token that is not special."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=380,
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        ),
    )
    backend.add_tokens([AddedToken(t, normalized=False, special=False) for t in ("<think>", "</think>", "<tool_call>")])
    backend.add_tokens([AddedToken("    ", normalized=False, special=False)])  # as GPT-NeoX has runs of spaces
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|pad|>", padding_side="left", chat_template=CHAT
    )
    if response_template:
        tokenizer.response_template = RESPONSE_TEMPLATE
    return tokenizer


def llama2(metaspace: bool = False) -> PreTrainedTokenizerFast:
    """SentencePiece BPE with byte fallback that writes ``▁`` before each text: by a normalizer, or by its pre-tokenizer."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if metaspace:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first", split=False)])
    else:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    octets = [f"<0x{byte:02X}>" for byte in range(256)]
    backend.train_from_iterator(
        [line for text in TEXTS for line in text.split("\n")],
        trainers.BpeTrainer(vocab_size=400, show_progress=False, special_tokens=["<unk>", "<s>", "</s>", *octets]),
    )
    parts = json.loads(backend.to_str())
    parts["added_tokens"] = parts["added_tokens"][:3]  # the bytes are in the vocabulary, not tokens of their own
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(parts)),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<unk>",
        padding_side="left",
        chat_template=INST,
    )


def lossy(kind: str = "word") -> PreTrainedTokenizerFast:
    """``word``: words and characters with ``<unk>`` for all others; ``drop``: BPE without one, which leaves out what it does not
    know; ``lower``: lower case only."""
    if kind == "word":
        backend = Tokenizer(models.WordLevel(unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|[\s\S]"), "isolated")
        backend.decoder = decoders.Fuse()
        trainer = trainers.WordLevelTrainer(special_tokens=["<unk>", "<eos>"], show_progress=False)
    else:
        backend = Tokenizer(models.BPE())
        backend.decoder = decoders.Fuse()
        if kind == "lower":
            backend.normalizer = normalizers.Lowercase()
        trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>", "<eos>"], show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>" if kind == "word" else None,
        eos_token="<eos>",
        pad_token="<eos>",
        padding_side="left",
        chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
    )


def tiny_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> LlamaForCausalLM:
    """A random model of one layer for ``tokenizer``."""
    with torch.random.fork_rng():
        ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        return random_llama(len(tokenizer), 16, 32, layers=1, heads=2, seed=seed, max_position_embeddings=512, **ids).eval()
