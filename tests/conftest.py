"""Shared pieces of the tests."""

from __future__ import annotations

import os
import tempfile

os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()  # no behavior pack of the person who runs the tests
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

torch.set_num_threads(1)  # make test runs one worker per core


@pytest.fixture(scope="session")
def tokenizer():
    from thinklab.students.make_tiny import build_tokenizer

    return build_tokenizer()


@pytest.fixture
def model():
    """The embedded student in fp32: small enough for exact checks, and its answers end by themselves."""
    from thinklab.students import TINY

    return LlamaForCausalLM.from_pretrained(TINY, dtype=torch.float32)


@pytest.fixture
def shared_data():
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs real data in {SHARED_DATA.name}/ beside the repository, which is not there")
    return SHARED_DATA


@pytest.fixture(scope="module")
def chromium():
    """A headless browser; skips with a reason where there is none."""
    from tests.support.widget_page import browser

    with browser() as found:
        yield found
