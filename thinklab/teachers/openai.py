"""The ``openai`` teacher: any server that speaks chat completions (vLLM, Ollama, llama.cpp, LM Studio, OpenAI itself).

Requires the package ``openai``: ``pip install 'thinklab[openai]'``. A key is sent only to its intended address: OPENAI_API_KEY
to OpenAI's own address or the one in OPENAI_BASE_URL (both are the environment's), and to an address from a config only
what ``key_env`` names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from thinklab.errors import TeacherError
from thinklab.teachers.faults import Fault, error_inside, from_sdk, page, plain_text
from thinklab.teachers.measure import reported
from thinklab.teachers.options import remote_options
from thinklab.teachers.remote import RemoteTeacher
from thinklab.teachers.secrets import Secret, checked_url, find_key
from thinklab.teachers.thinking import without_thinking
from thinklab.types import TeacherReply, TeacherRequest, Usage

try:
    import openai
except ImportError as error:
    raise TeacherError("the teacher 'openai' needs the package openai: pip install 'thinklab[openai]'") from error

THINKING_APART = ("reasoning_content", "reasoning")
"""Where servers put a model's thinking, if they take it out of the text."""
OPENAI_HOST = "api.openai.com"
OWN_OPTIONS = ("model", "base_url", "temperature", "key_env")


def openai_teacher(
    model: str, base_url: str | None = None, temperature: float | None = None, key_env: str | None = None, **options: Any
) -> RemoteTeacher:
    """A model behind a chat-completions server as the teacher.

    Args:
        model: its name there.
        base_url: such as ``http://127.0.0.1:11434/v1``; None: OPENAI_BASE_URL, or else OpenAI's own.
        temperature: None: 0 (greedy, as in the method) for another server, omitted for OpenAI's own, whose newer models reject
            it.
        key_env: name of the environment variable (or Colab secret) with the key for ``base_url``.
        options: see ``options.RemoteOptions``.

    Raises:
        ConfigError: for an invalid option.
        TeacherError: when a key is needed and there is none.
    """
    settings = remote_options("openai", options, OWN_OPTIONS)
    return RemoteTeacher(OpenAIBackend(model, base_url, temperature, key_env), settings)


class OpenAIBackend:
    """One call to a chat-completions server. Options as in ``openai_teacher``."""

    name = "openai"

    def __init__(
        self, model: str, base_url: str | None = None, temperature: float | None = None, key_env: str | None = None
    ) -> None:
        from_config = base_url is not None
        base_url = checked_url(base_url or os.environ.get("OPENAI_BASE_URL") or f"https://{OPENAI_HOST}/v1")
        own = urlsplit(base_url).hostname == OPENAI_HOST
        names = (key_env,) if key_env else ("OPENAI_API_KEY",) if own or not from_config else ()
        found = find_key(names, "OpenAI" if own else base_url, required=own or bool(key_env)) if names else Secret("")
        self.model, self.secret = model, found
        self._client = openai.AsyncOpenAI(api_key=self.secret.reveal() or "none", base_url=base_url, max_retries=0)
        self._limit_name = "max_completion_tokens" if own else "max_tokens"  # rejected by the one, required by the others
        self._extra: dict[str, Any] = {}
        if temperature is not None or not own:
            self._extra["temperature"] = float(temperature or 0.0)
        self.settings: Mapping[str, Any] = {"url": base_url, "model": model, "extra": self._extra}

    def __repr__(self) -> str:
        return f"<OpenAI-compatible, {self.model}>"

    async def call(self, request: TeacherRequest, timeout_s: float, mark_prefix: bool) -> TeacherReply:
        """One attempt, not streamed. Such servers cache prefixes automatically: there is nothing to mark."""
        messages: Any = [{"role": m["role"], "content": m["content"]} for m in request.messages]
        limit: dict[str, Any] = {self._limit_name: request.max_tokens}
        try:
            reply = await self._client.chat.completions.create(
                model=self.model, messages=messages, timeout=timeout_s, **limit, **self._extra
            )
            return self._read(reply, request)
        except Fault:
            raise
        except Exception as error:
            raise self._fault(error) from None

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
        return fault

    async def check(self) -> None:
        """Lists the models: free. A server without that list passes."""
        try:
            found = await self._client.get("/models", cast_to=object)
        except Exception as error:
            fault = self._fault(error)
            if fault.error not in ("model", "bad-request", "bad-reply", "forbidden"):  # a chat-only key may not list models
                raise fault from None
            return
        if (no_reply := page(found)) is not None:
            raise no_reply


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
