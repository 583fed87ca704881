"""``ScriptedTeacher``: a rule, a ``phrase``, or a table file instead of a model; its options.

Deterministic and free; used by the demo.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thinklab.config.sentence import check_sentence
from thinklab.errors import ConfigError, TeacherError, did_you_mean
from thinklab.interop.own_code import find_function, place_in
from thinklab.interop.strict_json import loads
from thinklab.teachers.rules import REASON, Rule, chance, say, sentences
from thinklab.teachers.rules import RULES as GENERAL
from thinklab.teachers.world_rules import world_check, world_reflect
from thinklab.types import TeacherReply, TeacherRequest

RULES: dict[str, Rule] = {**GENERAL, "world-check": world_check, "world-reflect": world_reflect}


class ScriptedTeacher:
    """Replies by rule, with one sentence, or from a table of replies to known questions.

    Args:
        rule: a name from ``RULES``, ``"./my.py:function"`` or ``"module:function"`` (see ``thinklab/interop/own_code.py``), or any
            callable ``rule(request, **parameters)``.
        table: path of a JSONL file with ``question``, ``reply`` and perhaps ``response`` on each line (a line with a
            ``response`` applies only to that student answer), or of a YAML file: a list of the same, or a mapping
            from questions to replies.
        phrase: the sentence for every answer, such as ``"Arr: {gold}."``, with the placeholders
            ``{question}``, ``{gold}`` (the right answer), ``{answer}`` (the student's final answer; no reply if there is
            none), and ``{response}`` (the student's full response). Double literal braces.
        reason: with ``phrase``, the same for the ``<reason>``, for behaviors that also splice it.
        mute_share: share of the requests, chosen by id, that get no reply.
        seed: selects them.
        parameters: passed on to the rule.

    Raises:
        ConfigError: for an unknown rule, parameter or placeholder, or a table that cannot be read.
    """

    def __init__(
        self,
        rule: str | Callable[..., str | None] | None = None,
        table: str | Path | None = None,
        mute_share: float = 0.0,
        seed: int = 0,
        *,
        phrase: str | None = None,
        reason: str | None = None,
        **parameters: Any,
    ) -> None:
        if [rule, table, phrase].count(None) != 2:
            raise ConfigError(
                f"the scripted teacher takes either a rule ({', '.join(RULES)}, or ./my.py:function), or a phrase (the sentence that "
                'it says, such as "Arr: {gold}."), or a table'
            )
        self.phrase = phrase
        """The sentence for every answer; None if it replies by rule or table."""
        if reason is not None and phrase is None:
            parameters["reason"] = reason  # a custom rule may have a parameter of that name
        self.name = "scripted"
        self.mute_share, self.seed = mute_share, seed
        if table is not None:
            if parameters:
                raise ConfigError(f"a table of replies takes no parameters, not {', '.join(parameters)}")
            self._replies, self._what = _read_table(Path(table)), f"table:{Path(table).name}"
            self._rule: Rule = self._look_up
        elif phrase is not None:
            if parameters:
                raise ConfigError(
                    f"besides phrase, the scripted teacher takes only reason, mute_share and seed, not {', '.join(parameters)}"
                )
            reason = REASON if reason is None else reason
            for key, text in (("phrase", phrase), ("reason", reason)):
                try:
                    check_sentence(key, text)
                except ValueError as error:
                    raise ConfigError(f"the scripted teacher: {error}") from None
            self._rule, self._what, parameters = say, "phrase", {"phrase": phrase, "reason": reason}
        else:
            assert rule is not None, "either a rule, a phrase or a table"
            self._rule, self._what = _resolve(rule)
            if "seed" in inspect.signature(self._rule).parameters:
                parameters["seed"] = seed
            _check_parameters(self._rule, self._what, parameters)
        self._parameters = parameters

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """One reply per request; ``error="mute"`` if the rule returns None."""
        return [self._one(request) for request in requests]

    def _one(self, request: TeacherRequest) -> TeacherReply:
        text = None
        if not chance(request, self.mute_share, "mute_share", self.seed):
            try:
                text = self._rule(request, **self._parameters)
            except Exception as error:  # the user's own code: it may raise anything
                raise TeacherError(
                    f"the rule {self._what!r} failed on {request.example.id!r}: {place_in(error, self._rule)}"
                    f"{type(error).__name__}: {error}"
                ) from error
        model = f"scripted:{self._what}"
        if text is None:
            return TeacherReply(request.id, error="mute", detail="the scripted teacher has no reply", model=model)
        if not isinstance(text, str):
            raise TeacherError(f"the rule {self._what!r} returned {type(text).__name__}; a rule must return text or None")
        if not text.strip():
            return TeacherReply(request.id, text, error="empty", detail="the reply is empty", model=model)
        return TeacherReply(request.id, text, model=model)

    def sentences(self, request: TeacherRequest) -> dict[str, str] | None:
        """With ``phrase``: the fields of the reply, ``opinion``, ``reason`` and ``phrase``; None if it does not reply."""
        assert self.phrase is not None, "only a teacher with a phrase"
        return sentences(request, **self._parameters)

    def _look_up(self, request: TeacherRequest) -> str | None:
        question = request.example.question
        return self._replies.get((question, request.response), self._replies.get((question, None)))


def _resolve(rule: str | Callable[..., str | None]) -> tuple[Rule, str]:
    if callable(rule):
        return rule, getattr(rule, "__name__", type(rule).__name__)
    if rule in RULES:
        return RULES[rule], rule
    if ":" not in rule:
        raise ConfigError(f"unknown rule {rule!r}{did_you_mean(rule, RULES)}; one of {', '.join(RULES)}, or ./my.py:function")
    return find_function(rule, "the rule", ConfigError), rule


def _check_parameters(rule: Rule, what: str, parameters: Mapping[str, Any]) -> None:
    known = inspect.signature(rule).parameters
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    names = list(known)[1:]
    for name in parameters:
        if name not in names:
            raise ConfigError(
                f"the rule {what!r} has no parameter {name!r}{did_you_mean(name, names)}; it takes {', '.join(names) or 'none'}"
            )
    missing = [
        n
        for n in names
        if known[n].default is inspect.Parameter.empty
        and n not in parameters
        and known[n].kind is not inspect.Parameter.VAR_POSITIONAL
    ]
    if missing:
        raise ConfigError(f"the rule {what!r} also needs {', '.join(missing)}")


def _read_table(path: Path) -> dict[tuple[str, str | None], str]:
    """(question, response or None for any) -> reply."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the table of replies {path} cannot be read: {error}") from error
    replies: dict[tuple[str, str | None], str] = {}
    for where, row in _rows(path, source):
        row = row if isinstance(row, Mapping) else {}
        values = [row.get("question"), row.get("reply"), row.get("response", "")]
        if not all(isinstance(v, str) for v in values):
            raise ConfigError(f"{where}: expected an object with the texts 'question' and 'reply' (and perhaps 'response')")
        key = (row["question"], row.get("response"))
        if replies.setdefault(key, row["reply"]) != row["reply"]:
            raise ConfigError(f"{where}: a second, different reply to the same question; keep one, or add 'response' to each")
    return replies


def _rows(path: Path, source: str) -> list[tuple[str, Any]]:
    """(position, row) for each row of the table."""
    if path.suffix in (".yaml", ".yml"):
        try:
            data = YAML(typ="safe").load(source)
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
            raise ConfigError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
        if isinstance(data, Mapping):
            return [(f"{path}, entry {k}", {"question": q, "reply": r}) for k, (q, r) in enumerate(data.items(), 1)]
        return [(f"{path}, entry {k}", row) for k, row in enumerate(data or [], 1)]
    rows = []
    for number, line in enumerate(source.split("\n"), 1):
        if line.strip():
            try:
                rows.append((f"{path}:{number}", loads(line)))
            except json.JSONDecodeError as error:
                raise ConfigError(f"{path}:{number}:{error.colno}: not valid JSON: {error.msg}") from error
    return rows
