"""``is_held_out``: which facts of the small world belong to the test split, by a checksum of the fact."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from zlib import crc32

SPLITS = ("train", "test")
TRAIN_LENGTHS = (1, 2, 3)
"""Lengths of training questions, in steps."""
CORPUS_LENGTHS = (1, 2, 3, 4)
"""Lengths that occur in the corpus of the student ``small-world``."""
LENGTHS = (1, 2, 3, 4, 5)
"""Lengths of test questions: 4 was read about but never trained on with a reward, 5 occurs nowhere else."""
TEST_SHARE = 4  # one in four


@lru_cache(100_000)
def is_held_out(fact: str) -> bool:
    """True if ``fact`` (``25+7``, ``25+7+6``, ``Tom>Ann>Bob``) may occur in the test split only."""
    return crc32(fact.encode()) % TEST_SHARE == 0


def belongs(split: str, whole: str, parts: Iterable[str]) -> bool:
    """True if a question may be in ``split``.

    Args:
        whole: what the question asks for, as a fact. It is held out in the test split and not held out in the other.
        parts: the facts of one step that lead to it, by either method. None of them is held out, in both splits: a longer test
            question tests the combination, and a question of one step has itself as its whole.
    """
    return is_held_out(whole) == (split == "test") and not any(is_held_out(part) for part in parts)
