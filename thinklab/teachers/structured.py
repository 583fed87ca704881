"""Structured outputs: the JSON ``schema`` along which a service decodes, and the reply back ``as_tags``.

The prompt of a behavior asks for tags, and the strict parser reads tags. So with ``structured: true`` the request asks for an
object with the same names, the few-shot replies are shown as such objects, and the object that comes back becomes tags again.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from thinklab.types import Message, TeacherRequest

_REFUSED = re.compile(
    r"response_format|json[_ ]schema|output_config|output_format|structured output|guided|grammar", re.IGNORECASE
)


def schema(request: TeacherRequest) -> dict[str, Any]:
    """The JSON schema of a reply to ``request``; with no optional field and no other one, as strict decoders require."""
    fields = {
        tag: {"type": "string", "enum": list(values)} if values else {"type": "string"} for tag, values in request.reply_tags
    }
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def asking_for_json(request: TeacherRequest) -> TeacherRequest:
    """The request with its system text and its few-shot replies about JSON instead of tags."""
    names = ", ".join(f'"{tag}"' for tag, _ in request.reply_tags)
    note = f"\n\nWrite each of these blocks as one text of a JSON object with the keys {names}, without the tags."
    messages = list(request.messages)
    for k, message in enumerate(messages):
        if message["role"] == "assistant":
            messages[k] = {**message, "content": _as_json(message["content"], request)}
    system = next((k for k, m in enumerate(messages) if m["role"] == "system"), None)
    if system is None:
        messages.insert(0, _system(note.strip()))
    else:
        messages[system] = {**messages[system], "content": messages[system]["content"] + note}
    return replace(request, messages=tuple(messages))


def as_tags(text: str, request: TeacherRequest) -> str:
    """A reply that is such an object, as tags; any other text unchanged, for the parser to judge."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    tags = [tag for tag, _ in request.reply_tags]
    if not isinstance(found, dict) or set(found) != set(tags) or not all(isinstance(v, str) for v in found.values()):
        return text
    return "".join(f"<{tag}>{found[tag]}</{tag}>" for tag in tags)


def refused(detail: str) -> bool:
    """Whether a rejected request was rejected because of its schema."""
    return bool(_REFUSED.search(detail))


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


def _as_json(text: str, request: TeacherRequest) -> str:
    found = {tag: m[1] for tag, _ in request.reply_tags if (m := re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL))}
    return json.dumps(found, ensure_ascii=False) if len(found) == len(request.reply_tags) else text
