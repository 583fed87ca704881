"""The student's own base as teacher, in the style of the ``Check`` documents that it knows."""

from __future__ import annotations

import pytest
import torch

from thinklab.behavior.behavior import load_behavior
from thinklab.errors import ConfigError
from thinklab.guide.guide import parse_reply
from thinklab.students import load_student
from thinklab.tasks import load_task
from thinklab.tasks.boxed import boxed_answers
from thinklab.teachers import load_teacher
from thinklab.types import TeacherRequest

STYLE = {"template": "Check\n{question}\n{response}", "head": "I check:"}


@pytest.fixture(scope="module")
def student():
    return load_student("embedded")


def asked(number=24, response=None):
    """Answers to the first test questions: right and one too many, by turns."""
    found = []
    for k, e in enumerate(load_task("sums").load("test")[:number]):
        said = int(e.gold) + k % 2
        text = response or f"{'+'.join(map(str, e.meta['operands']))}={said}. So \\boxed{{{said}}}."
        found.append(
            TeacherRequest(
                id=e.id,
                messages=({"role": "user", "content": text},),
                example=e,
                response=text,
                behavior="self-check",
                max_tokens=80,
            )
        )
    return found


def test_the_base_checks_the_student_and_is_nearly_always_right(student):
    behavior, requests = load_behavior("self-check"), asked()
    random = torch.random.get_rng_state()
    replies = load_teacher("continuation", student=student, **STYLE).reply(requests)
    assert torch.equal(torch.random.get_rng_state(), random)
    right = 0
    for request, reply in zip(requests, replies, strict=True):
        fields, verdict = parse_reply(reply.text)
        assert fields["reason"].startswith("I check: ") and fields["phrase"].startswith("So \\boxed{")
        assert verdict == (boxed_answers(fields["phrase"]) == boxed_answers(request.response))
        assert not behavior.check_guidance(behavior.splice(fields), request.response)
        right += f"\\boxed{{{request.example.gold}}}" in fields["phrase"]
    assert right >= 20


def test_it_is_the_base_that_answers_whatever_the_adapter_has_become(student):
    teacher, requests = load_teacher("continuation", student=student, **STYLE), asked(4)
    first = [r.text for r in teacher.reply(requests)]
    with torch.no_grad():
        kept = {n: p.clone() for n, p in student.model.named_parameters() if p.requires_grad}
        for p in student.model.parameters():
            if p.requires_grad:
                p.add_(0.5)
    try:
        assert [r.text for r in teacher.reply(requests)] == first
    finally:
        with torch.no_grad():
            for n, p in student.model.named_parameters():
                if n in kept:
                    p.copy_(kept[n])


def test_what_does_not_end_or_fit_is_said_and_a_template_needs_the_response(student):
    short = load_teacher("continuation", student=student, max_tokens=3, **STYLE).reply(asked(2))
    assert [r.error for r in short] == ["max-tokens"] * 2
    long = load_teacher("continuation", student=student, **STYLE).reply(asked(1, "word " * 600))
    assert long[0].error == "prompt-too-long"
    with pytest.raises(ConfigError, match="response"):
        load_teacher("continuation", student=student, template="Check {question}")
