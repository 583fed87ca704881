"""``continuation``: the student's own frozen base as teacher where the base follows no instructions: it goes on with a text.

    teacher: {backend: continuation, template: "Check\\n{question}\\n{response}", head: "I check:"}

``self`` puts a conversation to the base and wants three tags back, which takes an instruct model. A base model has seen a thing
done in some kind of document instead. ``template`` writes the beginning of such a document (with demonstrations before it, where
they help), ``head`` the first words of the guidance, and the base does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from thinklab.errors import ConfigError, TeacherError
from thinklab.tasks.boxed import boxed_answers
from thinklab.teachers.resident import Loaded, adapter_off, as_found, greedy
from thinklab.teachers.safety import as_text
from thinklab.teachers.self_test import prove
from thinklab.types import TeacherReply, TeacherRequest, Usage

PLACES = re.compile(r"\{(question|response)\}")
LAST_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^.!?]*\S[.!?]*\s*$)")


class ContinuationTeacher:
    """The student without its adapter, going on with a text; greedy.

    Args:
        student: an object with ``model`` and ``tokenizer``; see ``SelfTeacher``.
        template: the text before the guidance, with ``{question}`` and ``{response}`` where they belong.
        head: the first words of the guidance, written for the base.
        max_tokens: longest continuation; 0: as each request says.
        rows: replies generated at once.

    The last sentence of what it writes is the phrase, all before it the reason; the opinion is ``correct`` when its last
    boxed answer is that of the response.

    Raises:
        ConfigError: when the template has no place for the response.
        TeacherError: when the adapter is merged into the base.
    """

    def __init__(self, student: Any, template: str, head: str = "", max_tokens: int = 0, rows: int = 16) -> None:
        if "{response}" not in template:
            raise ConfigError(
                "the teacher 'continuation': template needs {response}, the place of the student's answer "
                "(and may have {question})"
            )
        self.name, self.template, self.head, self.max_tokens, self.rows = "continuation", template, head.strip(), max_tokens, rows
        self._student = student
        self._what = f"continuation:{(isinstance(student, Loaded) and student.source) or type(student.model).__name__}"
        self.check()

    def check(self) -> None:
        """Raises:
        TeacherError: see the class.
        """
        if any(getattr(m, "merged", False) for m in self._student.model.modules()):
            raise TeacherError(
                "the teacher 'continuation' needs the adapter apart from the base, but it is merged into it: "
                "call unmerge_adapter() on the model first"
            )
        model, tokenizer = self._student.model, self._student.tokenizer
        with as_found(model), adapter_off(model):
            prove(model, tokenizer, greedy(model, tokenizer), "'continuation'")

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
                            detail=(f"{len(prompts[k])} tokens and a reply of up to {longest}; the model has room for {room}"),
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
