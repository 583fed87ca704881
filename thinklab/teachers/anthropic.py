"""The ``anthropic`` teacher: one call to Claude by the official SDK: request, prompt caching, reply, usage.

The system text and the few-shots are the same in every call of one behavior, so they are marked for the service's
prompt cache, if they are long enough for the model's cache. Retries, limits, and cost accounting are thinklab's
(``remote.py``); the SDK's retries are off.

Since API version 2026-10-21 a ``temperature`` is an error. By default it is omitted and the model's own sampling applies. Set
it only for an older model that still supports it; the call then goes out with the older version.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import anthropic
from anthropic import AsyncAnthropic
from anthropic.types import MessageParam, TextBlockParam

from thinklab.errors import ConfigError
from thinklab.teachers import structured as json_replies
from thinklab.teachers.anthropic_batches import AnthropicBatches
from thinklab.teachers.batches import BatchService
from thinklab.teachers.faults import Fault, error_inside, from_sdk, page, plain_text
from thinklab.teachers.measure import counted, reported
from thinklab.teachers.options import remote_options
from thinklab.teachers.presets import DEFAULT_CLAUDE as DEFAULT_MODEL
from thinklab.teachers.prices import facts
from thinklab.teachers.remote import RemoteTeacher
from thinklab.teachers.secrets import at_home, checked_url, find_key
from thinklab.teachers.wire import checked_body, checked_headers
from thinklab.types import TeacherReply, TeacherRequest, Usage

VERSION_WITH_TEMPERATURE = "2023-06-01"
KEY_NAME, URL_NAME, HOST = "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "api.anthropic.com"
OWN_OPTIONS = ("model", "temperature", "effort", "thinking", "base_url", "key_env", "structured", "extra_body", "headers")
RESERVED = {
    "model": "use the option model",
    "messages": "the behavior writes them",
    "system": "the behavior writes it",
    "stream": "replies are not streamed",
    "max_tokens": "use the option max_tokens",
    "temperature": "use the option temperature",
    "thinking": "use the option thinking",
    "output_config": "use the options effort and structured",
}
STOPPED = {"refusal": "refusal", "max_tokens": "max-tokens", "model_context_window_exceeded": "prompt-too-long"}


def anthropic_teacher(
    model: str = DEFAULT_MODEL,
    temperature: float | None = None,
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None,
    thinking: Literal["auto", "adaptive", "disabled", "default"] = "auto",
    base_url: str | None = None,
    key_env: str | None = None,
    structured: bool = False,
    extra_body: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    **options: Any,
) -> RemoteTeacher:
    """A Claude model as the teacher. The key: ANTHROPIC_API_KEY, or a Colab secret of that name, or a prompt.

    Args:
        model: its id.
        temperature: only for models that still accept one; None omits it.
        effort: the effort level, for models that support it; None: the model's default.
        thinking: ``auto`` switches it off if the price table says that this is possible (a comment needs none, and thinking
            tokens are billed and count toward ``max_tokens``); ``default`` sends nothing.
        base_url: another address with the same protocol; None: the service's own, or ANTHROPIC_BASE_URL.
        key_env: name of the environment variable (or Colab secret) with the key. Required if ``base_url`` is neither the
            service's own address nor on this machine: another person's config must not send them your key.
        structured: decode along a JSON schema, so that no tag can be missing; a model that rejects it is asked in words from then
            on.
        extra_body: more fields of each request.
        headers: more headers of each request, such as ``anthropic-beta``; never a key.
        options: see ``options.RemoteOptions``.

    Raises:
        ConfigError: for an invalid option.
        TeacherError: if there is no key.
    """
    settings = remote_options("anthropic", options, OWN_OPTIONS)
    if thinking not in ("auto", "adaptive", "disabled", "default"):
        raise ConfigError(f"teacher option thinking: one of auto, adaptive, disabled, default, not {thinking!r}")
    more = Wire(structured, extra_body, headers)
    return RemoteTeacher(AnthropicBackend(model, temperature, effort, thinking, base_url, key_env, more), settings)


@dataclass(frozen=True)
class Wire:
    """Options of ``anthropic_teacher`` about the form of a request."""

    structured: bool = False
    extra_body: Mapping[str, Any] | None = None
    headers: Mapping[str, Any] | None = None


class AnthropicBackend:
    """One call to the Messages API. Options as in ``anthropic_teacher``."""

    name = "anthropic"
    cache_from_unknown = 1024
    """Prefix length from which to request caching if the price table has no minimum; dropped if the usage shows no caching."""

    def __init__(
        self,
        model: str,
        temperature: float | None = None,
        effort: str | None = None,
        thinking: str = "auto",
        base_url: str | None = None,
        key_env: str | None = None,
        wire: Wire = Wire(),
    ) -> None:
        if base_url is not None and not key_env and not at_home(checked_url(base_url), HOST):
            raise ConfigError(
                f"{KEY_NAME} is not sent to {base_url}: name the environment variable with the key for that address with key_env"
            )
        checked_url(base_url or os.environ.get(URL_NAME) or f"https://{HOST}")
        self.model = self.priced_as = model
        self.secret = find_key((key_env or KEY_NAME,), "Anthropic" if not key_env else str(base_url or HOST))
        self._client: Any = AsyncAnthropic(api_key=self.secret.reveal(), base_url=base_url, max_retries=0)
        self.batches: BatchService | None = AnthropicBatches(self._client, self.arguments, self._read, self.unstructured)
        self._arrange(model, temperature, effort, thinking, wire)

    def _arrange(self, model: str, temperature: float | None, effort: str | None, thinking: str, wire: Wire) -> None:
        """What each request contains besides its text."""
        if thinking == "auto":
            off = facts(self.priced_as).thinking_off and effort not in ("xhigh", "max")  # these models cannot switch it off
            thinking = "disabled" if off else "default"
        self._structured, body, headers = wire.structured, checked_body(wire.extra_body, RESERVED), checked_headers(wire.headers)
        self._extra: dict[str, Any] = {}
        if thinking != "default":
            self._extra["thinking"] = {"type": thinking}
        if effort is not None:
            self._extra["output_config"] = {"effort": effort}
        if temperature is not None:
            body["temperature"] = float(temperature)
            headers["anthropic-version"] = VERSION_WITH_TEMPERATURE
        if body:
            self._extra["extra_body"] = body
        if headers:
            self._extra["extra_headers"] = headers
        self.settings: Mapping[str, Any] = {
            "url": str(self._client.base_url),
            "model": model,
            "extra": self._extra,
            **({"structured": True} if wire.structured else {}),
        }

    def __repr__(self) -> str:
        return f"<Anthropic, {self.model}>"

    async def call(self, request: TeacherRequest, timeout_s: float, mark_prefix: bool) -> TeacherReply:
        """One attempt at the Messages API, not streamed."""
        try:
            try:
                message = await self._client.messages.create(timeout=timeout_s, **self.arguments(request, mark_prefix))
            except anthropic.BadRequestError as error:
                if not self.unstructured(str(error.message)):
                    raise
                message = await self._client.messages.create(timeout=timeout_s, **self.arguments(request, mark_prefix))
            return self._read(message, request)
        except Fault:
            raise
        except Exception as error:
            raise from_sdk(error, anthropic) from None

    def arguments(self, request: TeacherRequest, mark_prefix: bool = False) -> dict[str, Any]:
        """What ``messages.create`` takes for ``request``."""
        extra = self._extra
        if self._structured and request.reply_tags:
            request = json_replies.asking_for_json(request)
            form = {"type": "json_schema", "schema": json_replies.schema(request)}
            extra = {**extra, "output_config": {**extra.get("output_config", {}), "format": form}}
        system, messages = _blocks(request, mark_prefix)
        return {"model": self.model, "max_tokens": request.max_tokens, "system": system, "messages": messages, **extra}

    def unstructured(self, said: str) -> bool:
        """Whether a request was rejected because of its schema; if so, the next ones ask in words."""
        if not self._structured or not json_replies.refused(said):
            return False
        self._structured = False
        warnings.warn(
            f"{self.model} rejects structured outputs, so the teacher is asked in words: leave structured out", stacklevel=2
        )
        return True

    def _read(self, message: Any, request: TeacherRequest) -> TeacherReply:
        """The service's reply. The SDK does not check types, so every field may be anything.

        Raises:
            Fault: if it contains no reply.
        """
        if fault := page(message):
            raise fault
        usage = _usage(getattr(message, "usage", None))
        if fault := error_inside(message):
            fault.usage = usage
            raise fault
        text, stopped = plain_text(getattr(message, "content", None)), getattr(message, "stop_reason", None)
        if text is None:
            raise Fault("bad-reply", "the content of the reply is not text", again=True, usage=usage)
        found = TeacherReply(request.id, text, model=str(message.model or self.model), usage=usage or Usage())
        if request.reply_tags and self.settings.get("structured"):
            found = replace(found, text=json_replies.as_tags(found.text, request))
        if isinstance(stopped, str) and stopped in STOPPED:
            said = getattr(getattr(message, "stop_details", None), "explanation", None)
            return replace(
                found,
                error=STOPPED[stopped],
                detail=said if isinstance(said, str) and said else f"the service stopped with {stopped!r}",
            )
        if stopped not in ("end_turn", "stop_sequence"):
            raise Fault("bad-reply", f"the reply ended with {str(stopped)[:60]!r}", again=True, usage=usage, text=text)
        return found

    async def check(self) -> None:
        """Requests the model's description: free, and fails for a wrong key or a wrong model."""
        try:
            found = await self._client.models.retrieve(self.model)
        except Exception as error:
            raise from_sdk(error, anthropic) from None
        if fault := page(found):
            raise fault


def _blocks(request: TeacherRequest, mark_prefix: bool) -> tuple[list[TextBlockParam], list[MessageParam]]:
    """(system blocks, messages), with the mark on the last block before the student's turn."""
    system: list[TextBlockParam] = []
    blocks: list[TextBlockParam] = []
    turns: list[MessageParam] = []
    for m in request.messages:
        block: TextBlockParam = {"type": "text", "text": m["content"]}
        if m["role"] == "system":
            system.append(block)
        else:
            blocks.append(block)
            turn: MessageParam
            turn = {"role": "user", "content": [block]} if m["role"] == "user" else {"role": "assistant", "content": [block]}
            turns.append(turn)
    if mark_prefix:
        last = blocks[-2] if len(blocks) > 1 else system[-1]
        last["cache_control"] = {"type": "ephemeral"}
    return system, turns


def _usage(usage: Any) -> Usage | None:
    """The service counts cached input separately; ``Usage.input_tokens`` includes it. None if not reported."""
    parts = [getattr(usage, f"{kind}input_tokens", None) for kind in ("", "cache_read_", "cache_creation_")]
    plain, read, written = parts[0], *(part or 0 for part in parts[1:])
    counts = [n for part in (plain, read, written) if (n := counted(part)) is not None]
    sent = sum(counts) if len(counts) == len(parts) else None
    thinking = getattr(getattr(usage, "output_tokens_details", None), "thinking_tokens", 0)
    return reported(sent, getattr(usage, "output_tokens", None), read, written, thinking)
