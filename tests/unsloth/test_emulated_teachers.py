"""Teachers in the same process as a student of Unsloth's real code, in a tiny shape on a CPU."""

from __future__ import annotations

import contextlib
import sys

import pytest

if "tests.support.unsloth_emulation" not in sys.modules:
    pytest.skip("needs the environment and the plugin of `make test-unsloth`", allow_module_level=True)

import torch
from transformers import AutoModelForCausalLM

from tests.support.teacher_requests import two_requests
from tests.unsloth.emulated import two_steps
from thinklab.errors import TeacherError
from thinklab.teachers import load_teacher, resident
from thinklab.teachers.unpatched import unpatched


@pytest.mark.parametrize(
    "options",
    [
        {"backend": "self", "max_tokens": 8},
        {"backend": "continuation", "template": "{question} {response}", "head": "I check:", "max_tokens": 8},
        {"backend": "local", "model": "FOLDER", "max_tokens": 8},
    ],
    ids=lambda options: options["backend"],
)
def test_two_steps_with_a_teacher_in_this_process(options, folder, tmp_path, monkeypatch):
    asked, _ = two_steps(options, folder, tmp_path, monkeypatch)
    assert all(g["usage"]["output_tokens"] > 0 for g in asked)


def test_a_local_teacher_beside_the_student_replies_as_it_would_alone(folder, student, monkeypatch):
    """Its classes are the student's, whose methods Unsloth has replaced: without care its cache stays empty."""
    teacher = load_teacher("local", model=str(folder), max_tokens=6)
    teacher.check()
    mine = [(r.text, r.usage) for r in teacher.reply(two_requests(behavior="short-check"))]
    with unpatched():
        alone = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        theirs = resident._generate(alone, student.tokenizer, two_requests(behavior="short-check"), "x", 6, 0, 1000, {})
    assert mine == [(r.text, r.usage) for r in theirs] and all(usage.output_tokens for _, usage in mine)
    monkeypatch.setattr(resident, "unpatched", contextlib.nullcontext)
    with pytest.raises(TeacherError, match="known text"):
        load_teacher("local", model=str(folder)).check()


def test_a_prompt_that_the_kernels_would_cut_off_is_refused(student):
    """The kernels are ready for 500 tokens here; Unsloth drops the rest of a longer prompt with no more than a warning."""
    assert student.max_positions == 500
    long, short = load_teacher("self", student=student, max_tokens=6).reply(two_requests("1+2 " * 200, behavior="short-check"))
    assert long.error == "prompt-too-long" and "limit is 500" in long.detail and short.error != "prompt-too-long"
