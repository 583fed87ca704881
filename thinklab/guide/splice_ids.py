"""``continuation_ids``: the token ids of a text that continues other ids; control ids; characters ``lost``.

Tokenizers are made for whole texts. Encoded separately, a continuation can get an extra space (Llama 2 puts ``▁`` before every
text), words such as ``<think>`` become the control tokens of a thinking model, and characters outside the vocabulary become
``<unk>`` or disappear. Here such a text is encoded with a modified copy of the tokenizer; the student's own tokenizer is
unchanged.

Left out: tokenizers without a backend of the tokenizers library are used as is; ``lost`` still detects the consequences.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

_MARKED = re.compile(r"[^\w\s▁]")
"""Distinguishes control tokens from ordinary words or runs of spaces that were added to a vocabulary."""
CONTEXT = 16
"""Ids before a text that are decoded with it: a decoder may treat the first token of all differently."""

_copies: WeakKeyDictionary[PreTrainedTokenizerBase, dict[tuple[int, bool], Tokenizer | None]] = WeakKeyDictionary()


def continuation_ids(tokenizer: PreTrainedTokenizerBase, text: str, control: bool = False) -> list[int]:
    """(N,) ids of ``text`` as a continuation of other ids.

    Args:
        control: treat control tokens spelled out in ``text`` as control tokens. By default they are text, letter by
            letter; so are added tokens that are not special, such as ``<think>``.
    """
    return _encoded(tokenizer, text, control)[0]


def control_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids that text must never be encoded to: special tokens but ``<unk>``, and added ones like ``<think>``."""
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if _is_control(token.content, token.special)}
    return (added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}


def lost(tokenizer: PreTrainedTokenizerBase, text: str, before: Sequence[int] = ()) -> str:
    """What the ids of ``text`` lose of it; empty if they decode to the same text (in Unicode's form NFC).

    Args:
        before: the preceding ids, such as the prompt and the answer; if empty, an EOS.
    """
    ids, offsets = _encoded(tokenizer, text, control=False)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        pieces = [text[a:b] for i, (a, b) in zip(ids, offsets or [], strict=False) if i == tokenizer.unk_token_id]
        return _listed(pieces) or f"all of it ({tokenizer.unk_token} stands for a part)"
    before = list(before)[-CONTEXT:] or [tokenizer.eos_token_id]
    head, whole = (
        tokenizer.decode(some, skip_special_tokens=False, clean_up_tokenization_spaces=False) for some in (before, before + ids)
    )
    assert isinstance(head, str) and isinstance(whole, str), "the ids of one text decode to one text"
    back, wanted = (unicodedata.normalize("NFC", x) for x in (whole[len(head) :], text))
    if whole.startswith(head) and back == wanted:
        return ""
    return _listed((Counter(wanted) - Counter(back)).elements()) or f"it as it stands: it comes back as {back[:80]!r}"


def _encoded(tokenizer: PreTrainedTokenizerBase, text: str, control: bool) -> tuple[list[int], list[tuple[int, int]] | None]:
    """Ids, and the span of ``text`` for each, if the tokenizer provides it."""
    copy = _copy(tokenizer, control)
    if copy is not None:
        found = copy.encode(text, add_special_tokens=False)
        return list(found.ids), list(found.offsets)
    found = tokenizer(text, add_special_tokens=False, split_special_tokens=not control, return_offsets_mapping=tokenizer.is_fast)
    return list(found["input_ids"]), found.get("offset_mapping")


def _copy(tokenizer: PreTrainedTokenizerBase, control: bool) -> Tokenizer | None:
    """The backend without prefix spaces and special-token parsing; None if not needed, or not of the tokenizers library. Cached."""
    known = _copies.setdefault(tokenizer, {})
    key = (len(tokenizer.added_tokens_decoder), control)  # rebuilt when tokens were added
    if key not in known:
        known[key] = _without_habits(getattr(tokenizer, "backend_tokenizer", None), control)
    return known[key]


def _without_habits(backend: Tokenizer | None, control: bool) -> Tokenizer | None:
    if not isinstance(backend, Tokenizer):
        return None
    parts = json.loads(backend.to_str())
    before = json.dumps([parts["normalizer"], parts["pre_tokenizer"]])
    parts["normalizer"], parts["pre_tokenizer"] = (_no_prefix(parts[name]) for name in ("normalizer", "pre_tokenizer"))
    changed = json.dumps([parts["normalizer"], parts["pre_tokenizer"]]) != before
    for token in parts["added_tokens"] if not control else ():
        if not token["special"] and _is_control(token["content"], False):
            token["special"] = changed = True  # only special tokens can be treated as text
    if not changed:
        return None
    parts["truncation"] = parts["padding"] = None
    copy = Tokenizer.from_str(json.dumps(parts))
    copy.encode_special_tokens = not control
    return copy


def _no_prefix(part: dict | None) -> dict | None:
    """A normalizer or pre-tokenizer, as the tokenizers library writes it, without what it adds or removes at the beginning."""
    if part is None or part["type"] == "Prepend":
        return None
    if part["type"] == "Sequence":
        name = "normalizers" if "normalizers" in part else "pretokenizers"
        return {**part, name: [kept for inner in part[name] if (kept := _no_prefix(inner)) is not None]}
    off: dict[str, dict[str, Any]] = {
        "Metaspace": {"prepend_scheme": "never"},
        "ByteLevel": {"add_prefix_space": False},
        "Strip": {"strip_left": False},
    }
    return {**part, **off.get(part["type"], {})}


def _is_control(content: str, special: bool) -> bool:
    return special or _MARKED.search(content) is not None


def _listed(pieces) -> str:
    """At most ten distinct ones."""
    found = list(dict.fromkeys(p for p in pieces if p))
    return ", ".join(map(repr, found[:10])) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
