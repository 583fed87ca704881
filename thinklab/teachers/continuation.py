"""The ``continuation`` teacher: the student's frozen base continues a text, for base models without instructions.

    teacher: {backend: continuation, template: "Check\\n{question}\\n{response}", head: "I check:"}

``self`` sends the base a conversation and expects three tags back, which requires an instruct model. A base model can instead
continue a document of a kind that it has seen. ``template`` is the beginning of such a document (with demonstrations if they
help), ``head`` the first words of the guidance, and the base writes the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from thinklab.errors import ConfigError
from thinklab.tasks.boxed import boxed_answers
from thinklab.teachers.resident import Loaded, adapter_off, as_found, check_base, greedy
from thinklab.teachers.safety import as_text
from thinklab.types import TeacherReply, TeacherRequest, Usage

PLACES = re.compile(r"\{(question|response)\}")
LAST_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^.!?]*\S[.!?]*\s*$)")


class ContinuationTeacher:
    """The student without its adapter, continuing a text greedily.

    Args:
        student: an object with ``model`` and ``tokenizer``; see ``SelfTeacher``.
        template: the text before the guidance, with the placeholders ``{question}`` and ``{response}``.
        head: the first words of the guidance, written for the base.
        max_tokens: maximum length of the continuation; 0: as set by each request.
        rows: replies generated at once.

    The last sentence of what it writes is the phrase, everything before it is the reason; the opinion is ``correct`` when its last
    boxed answer is that of the response.

    Raises:
        ConfigError: if the template has no placeholder for the response.
        TeacherError: when the adapter is merged into the base.
    """

    def __init__(self, student: Any, template: str, head: str = "", max_tokens: int = 0, rows: int = 16) -> None:
        if "{response}" not in template:
            raise ConfigError(
                "the teacher 'continuation': template must contain {response}, the placeholder for the student's answer (and "
                "may contain {question})"
            )
        self.name, self.template, self.head, self.max_tokens, self.rows = "continuation", template, head.strip(), max_tokens, rows
        self._student = student
        self._what = f"continuation:{(isinstance(student, Loaded) and student.source) or type(student.model).__name__}"
        self.check()

    def check(self) -> None:
        """Raises:
        TeacherError: see the class.
        """
        check_base(self._student, "'continuation'")

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """Greedy replies; the same base and text give the same reply."""
        model, tokenizer, room = self._student.model, self._student.tokenizer, self._student.max_positions
        replies: dict[int, TeacherReply] = {}
        prompts = {k: self._encode(r) for k, r in enumerate(requests)}
        for longest in sorted({self.max_tokens or r.max_tokens for r in requests}):
            places = []
            for k, r in enumerate(requests):
                if (self.max_tokens or r.max_tokens) == longest:
                    if room is not None and len(prompts[k]) + longest > room:
                        replies[k] = TeacherReply(
                            r.id,
                            error="prompt-too-long",
                            model=self._what,
                            attempts=0,
                            detail=(f"{len(prompts[k])} tokens and a reply of up to {longest}; the model's limit is {room}"),
                        )
                    else:
                        places.append(k)
            sampler = greedy(model, tokenizer, longest, self.rows)
            with as_found(model), adapter_off(model):
                found = sampler(model, [prompts[k] for k in places]) if places else []
            for k, ids in zip(places, found, strict=True):
                text = tokenizer.decode(ids, skip_special_tokens=True)
                usage = Usage(len(prompts[k]), len(ids))
                error, detail = "", ""
                if not sampler.finished(ids):
                    error, detail = "max-tokens", f"no end after {longest} tokens"
                elif not text.strip():
                    error, detail = "empty", "the reply has no text"
                else:
                    text = self._tagged(text, requests[k].response)
                replies[k] = TeacherReply(requests[k].id, text, error, detail, self._what, usage)
        return [replies[k] for k in range(len(requests))]

    def _encode(self, request: TeacherRequest) -> list[int]:
        tokenizer = self._student.tokenizer
        values = {"question": request.example.question, "response": request.response}
        control = (*tokenizer.all_special_tokens, *tokenizer.get_added_vocab())
        text = PLACES.sub(lambda m: as_text(values[m[1]], control), self.template)
        text += f" {self.head}" if self.head else ""
        return tokenizer(text, add_special_tokens=True)["input_ids"]

    def _tagged(self, continuation: str, response: str) -> str:
        text = f"{self.head}{continuation}".strip()
        *before, phrase = LAST_SENTENCE.split(text, maxsplit=1)
        said, answered = boxed_answers(text)[-1:], boxed_answers(response)[-1:]
        opinion = "correct" if said and said == answered else "incorrect"
        return f"<opinion>{opinion}</opinion><reason>{' '.join(before)}</reason><phrase>{phrase}</phrase>"
