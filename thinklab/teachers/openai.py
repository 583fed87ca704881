"""The ``openai`` teacher: one call to a server of chat completions (vLLM, Ollama, llama.cpp, LM Studio, OpenAI).

Requires the package ``openai``: ``pip install 'thinklab[openai]'``. A key is sent only to its intended address: OPENAI_API_KEY
to OpenAI's own address or the one in OPENAI_BASE_URL (both are the environment's), and to an address from a config only
what ``key_env`` names. The named services of ``presets.py`` are the same teacher with other defaults.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, Literal

from thinklab.errors import TeacherError
from thinklab.teachers import structured as json_replies
from thinklab.teachers.batches import BatchService
from thinklab.teachers.faults import Fault, error_inside, from_sdk, page, plain_text
from thinklab.teachers.measure import reported
from thinklab.teachers.options import remote_options
from thinklab.teachers.presets import COMPATIBLE, OPENAI, PRESETS, MaxTokensAs, Preset, check_address
from thinklab.teachers.remote import RemoteTeacher
from thinklab.teachers.secrets import Secret, checked_url, find_key
from thinklab.teachers.thinking import without_thinking
from thinklab.teachers.wire import checked_body, checked_headers, checked_query
from thinklab.types import TeacherReply, TeacherRequest, Usage

try:
    import openai
except ImportError as error:
    raise TeacherError("the teacher 'openai' needs the package openai: pip install 'thinklab[openai]'") from error

from thinklab.teachers.openai_batches import OpenAIBatches

THINKING_APART = ("reasoning_content", "reasoning")
"""Where servers put a model's thinking, if they take it out of the text."""
OWN_OPTIONS = (
    "model",
    "base_url",
    "temperature",
    "key_env",
    "top_p",
    "reasoning_effort",
    "max_tokens_as",
    "structured",
    "extra_body",
    "headers",
    "query",
    "key_header",
)
RESERVED = {
    "model": "use the option model",
    "messages": "the behavior writes them",
    "stream": "replies are not streamed",
    "n": "one reply is read",
    "temperature": "use the option temperature",
    "top_p": "use the option top_p",
    "max_tokens": "use the option max_tokens, and max_tokens_as for its name",
    "max_completion_tokens": "use the option max_tokens, and max_tokens_as for its name",
    "reasoning_effort": "use the option reasoning_effort",
    "response_format": "use the option structured",
}
HINTS = (
    (r"temperature", "set the teacher's option temperature: omit"),
    (r"top_p", "leave the teacher's option top_p out"),
    (r"max_completion_tokens", "set the teacher's option max_tokens_as: max_completion_tokens"),
    (r"max_tokens", "set the teacher's option max_tokens_as"),
    (r"reasoning_effort", "leave the teacher's option reasoning_effort out, or set another level"),
    (r"api[-_ ]version", "set the teacher's option query: {api-version: ...}"),
)
"""What to change when a server rejects a request, by what its error names."""


def openai_teacher(
    model: str,
    base_url: str | None = None,
    temperature: float | Literal["omit"] | None = None,
    key_env: str | None = None,
    top_p: float | None = None,
    reasoning_effort: str | None = None,
    max_tokens_as: MaxTokensAs | None = None,
    structured: bool = False,
    extra_body: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    query: dict[str, Any] | None = None,
    key_header: str | None = None,
    **options: Any,
) -> RemoteTeacher:
    """A model behind a chat-completions server as the teacher.

    Args:
        model: its name there.
        base_url: such as ``http://127.0.0.1:11434/v1``; None: OPENAI_BASE_URL, or else OpenAI's own.
        temperature: None: 0 (greedy, as in the method) for another server, omitted for OpenAI's own, whose newer models reject
            it; ``omit``: never sent.
        key_env: name of the environment variable (or Colab secret) with the key for ``base_url``.
        top_p: nucleus sampling; None: not sent.
        reasoning_effort: of a reasoning model, such as ``none``, ``low``, or ``high``, where the server knows the level; None:
            not sent.
        max_tokens_as: what the server calls the limit of a reply; None: ``max_completion_tokens`` at OpenAI and Azure,
            ``max_tokens`` elsewhere.
        structured: decode along a JSON schema (``response_format``), so that no tag can be missing; a server that rejects it is
            asked in words from then on.
        extra_body: more fields of each request, such as ``{chat_template_kwargs: {enable_thinking: false}}``.
        headers: more headers of each request; never a key.
        query: query strings of each request, such as Azure's ``{api-version: ...}``; never a key.
        key_header: the header that carries the key, such as ``api-key``; None: ``Authorization: Bearer``.
        options: see ``options.RemoteOptions``.

    Raises:
        ConfigError: for an invalid option.
        TeacherError: when a key is needed and there is none.
    """
    settings = remote_options("openai", options, OWN_OPTIONS)
    backend = OpenAIBackend(
        model,
        base_url,
        temperature,
        key_env,
        top_p=top_p,
        reasoning_effort=reasoning_effort,
        max_tokens_as=max_tokens_as,
        structured=structured,
        extra_body=extra_body,
        headers=headers,
        query=query,
        key_header=key_header,
    )
    return RemoteTeacher(backend, settings)


def _named(name: str) -> Callable[..., RemoteTeacher]:
    """``openai_teacher`` for one row of ``PRESETS``."""

    @wraps(openai_teacher)
    def teacher(model: str, base_url: str | None = None, key_env: str | None = None, **given: Any) -> RemoteTeacher:
        own = {key: given.pop(key) for key in OWN_OPTIONS if key in given}
        settings = remote_options(name, given, OWN_OPTIONS)
        return RemoteTeacher(OpenAIBackend(model, base_url, key_env=key_env, preset=name, **own), settings)

    return teacher


openrouter, gemini, azure = _named("openrouter"), _named("gemini"), _named("azure")
ollama, llamacpp, vllm = _named("ollama"), _named("llamacpp"), _named("vllm")


class OpenAIBackend:
    """One call to a chat-completions server. Options as in ``openai_teacher``.

    Args:
        preset: a key of ``PRESETS``; empty: OpenAI's own or a compatible server, by the address.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        temperature: float | Literal["omit"] | None = None,
        key_env: str | None = None,
        *,
        top_p: float | None = None,
        reasoning_effort: str | None = None,
        max_tokens_as: MaxTokensAs | None = None,
        structured: bool = False,
        extra_body: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        key_header: str | None = None,
        preset: str = "",
    ) -> None:
        self.name, self.model = preset or "openai", model
        asked, more_headers = checked_query(query), checked_headers(headers)
        row, base_url, self.secret = _placed(preset, base_url, key_env, asked)
        self.priced_as = model if row is OPENAI else f"{row.priced_as}{model}" if row.priced_as else ""
        key_header = key_header or row.key_header
        sent = {**more_headers, **({key_header: self.secret.reveal()} if key_header and self.secret else {})}
        self._client = openai.AsyncOpenAI(
            api_key=self.secret.reveal() or "none",
            base_url=base_url,
            max_retries=0,
            default_headers=sent or None,
            default_query=asked or None,
        )
        self.headers: dict[str, Any] = {"Authorization": openai.Omit()} if key_header else {}
        """Of each call; the SDK leaves its own header out only if a call says so."""
        self.batches: BatchService | None = OpenAIBatches(
            self._client, self.headers, self.arguments, self._read, self.unstructured
        )
        self._limit_name = max_tokens_as or row.max_tokens_as
        self._structured = structured
        self._extra: dict[str, Any] = {}
        if temperature != "omit" and (greedy := row.temperature if temperature is None else temperature) is not None:
            self._extra["temperature"] = float(greedy)
        if top_p is not None:
            self._extra["top_p"] = float(top_p)
        body = checked_body(extra_body, RESERVED)
        if reasoning_effort is not None and row.effort_in_body:
            body["reasoning"] = {"effort": reasoning_effort}
        elif reasoning_effort is not None:
            self._extra["reasoning_effort"] = reasoning_effort
        if body:
            self._extra["extra_body"] = body
        wire = {"query": asked, "headers": more_headers, "structured": structured}
        self.settings: Mapping[str, Any] = {
            "url": base_url,
            "model": model,
            "extra": self._extra,
            **{key: value for key, value in wire.items() if value},
        }

    def __repr__(self) -> str:
        return f"<OpenAI-compatible, {self.model}>"

    async def call(self, request: TeacherRequest, timeout_s: float, mark_prefix: bool) -> TeacherReply:
        """One attempt, not streamed. Such servers cache prefixes automatically: there is nothing to mark."""
        try:
            try:
                reply = await self._client.chat.completions.create(
                    timeout=timeout_s, extra_headers=self.headers, **self.arguments(request)
                )
            except openai.BadRequestError as error:
                if not self.unstructured(str(error.message)):
                    raise
                reply = await self._client.chat.completions.create(
                    timeout=timeout_s, extra_headers=self.headers, **self.arguments(request)
                )
            return self._read(reply, request)
        except Fault:
            raise
        except Exception as error:
            raise self._fault(error) from None

    def arguments(self, request: TeacherRequest) -> dict[str, Any]:
        """What ``chat.completions.create`` takes for ``request``."""
        schema: dict[str, Any] = {}
        if self._structured and request.reply_tags:
            request = json_replies.asking_for_json(request)
            named = {"name": "reply", "strict": True, "schema": json_replies.schema(request)}
            schema = {"response_format": {"type": "json_schema", "json_schema": named}}
        messages = [{"role": m["role"], "content": m["content"]} for m in request.messages]
        limit: dict[str, Any] = {self._limit_name: request.max_tokens}
        return {"model": self.model, "messages": messages, **limit, **self._extra, **schema}

    def unstructured(self, said: str) -> bool:
        """Whether a request was rejected because of its schema; if so, the next ones ask in words."""
        if not self._structured or not json_replies.refused(said):
            return False
        self._structured = False
        warnings.warn(
            f"the server of {self.model} rejects structured outputs, so the teacher is asked in words: leave structured out",
            stacklevel=2,
        )
        return True

    def _read(self, reply: Any, request: TeacherRequest) -> TeacherReply:
        """The server's reply. The SDK does not check types, so every field may be anything.

        Raises:
            Fault: if it contains no reply.
        """
        if fault := page(reply):
            raise fault
        usage = _usage(getattr(reply, "usage", None))
        choices = getattr(reply, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        if fault := error_inside(reply, choice):
            fault.usage = usage
            raise fault
        message = getattr(choice, "message", None)
        if message is None:
            raise Fault("bad-reply", "the reply has no choice with a message", again=True, usage=usage)
        text, refused = plain_text(getattr(message, "content", None)), getattr(message, "refusal", None)
        apart = next((t for name in THINKING_APART if isinstance(t := getattr(message, name, None), str) and t), "")
        ended = getattr(choice, "finish_reason", None)
        if text is None:
            raise Fault("bad-reply", "the content of the reply is not text", again=True, usage=usage)
        found = TeacherReply(request.id, text, model=str(reply.model or self.model), usage=usage or Usage())
        found = without_thinking(found, apart)
        if request.reply_tags and self.settings.get("structured"):
            found = replace(found, text=json_replies.as_tags(found.text, request))
        if refused or ended == "content_filter":
            said = refused if isinstance(refused, str) else "the content filter stopped it"
            return replace(found, error="refusal", detail=said)
        if ended == "length":
            return replace(found, error="max-tokens", detail="the reply was truncated at max_tokens")
        if ended != "stop":
            raise Fault("bad-reply", f"the reply ended with {str(ended)[:60]!r}", again=True, usage=usage, text=text)
        return found

    def _fault(self, error: Exception) -> Fault:
        fault = from_sdk(error, openai)
        if getattr(error, "status_code", None) == 401 and not self.secret:
            fault.detail = "the server requires a key and none was sent: set key_env to the environment variable with the key"
        return hinted(fault)

    async def check(self) -> None:
        """Lists the models: free. A server without that list passes."""
        try:
            found = await self._client.get("/models", cast_to=object, options={"headers": self.headers})
        except Exception as error:
            fault = self._fault(error)
            if fault.error not in ("model", "bad-request", "bad-reply", "forbidden"):  # a chat-only key may not list models
                raise fault from None
            return
        if (no_reply := page(found)) is not None:
            raise no_reply


def _placed(name: str, base_url: str | None, key_env: str | None, query: Mapping[str, str]) -> tuple[Preset, str, Secret]:
    """(row, address, key) of a teacher ``name``; empty: OpenAI's own or a compatible server.

    Raises:
        ConfigError: for an address without what it needs, or to which the key must not go.
        TeacherError: when a key is needed and there is none.
    """
    if name:
        row = PRESETS[name]
        address = base_url or row.address
        check_address(name, row, address, query, key_env)
        address = checked_url(address)
        names = (key_env,) if key_env else row.keys if row.is_at(address) else ()
        return row, address, _key(names, row.title, row.key_required or bool(key_env))
    address = checked_url(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI.base_url)
    own = OPENAI.is_at(address)
    names = (key_env,) if key_env else OPENAI.keys if own or base_url is None else ()
    return OPENAI if own else COMPATIBLE, address, _key(names, "OpenAI" if own else address, own or bool(key_env))


def _key(names: tuple[str, ...], service: str, required: bool) -> Secret:
    return find_key(names, service, required=required) if names else Secret("")


def hinted(fault: Fault) -> Fault:
    """The fault, with the option to change where a server names what it rejects."""
    if fault.error == "bad-request":
        change = next((what for pattern, what in HINTS if re.search(pattern, fault.detail, re.IGNORECASE)), "")
        fault.detail += f"; {change}" if change else ""
    return fault


def _usage(usage: Any) -> Usage | None:
    """None if the server does not report it as numbers."""
    details, written = getattr(usage, "prompt_tokens_details", None), getattr(usage, "completion_tokens_details", None)
    return reported(
        getattr(usage, "prompt_tokens", None),
        getattr(usage, "completion_tokens", None),
        getattr(details, "cached_tokens", 0),
        getattr(details, "cache_write_tokens", 0),
        getattr(written, "reasoning_tokens", 0),
    )
