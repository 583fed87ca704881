"""``LiteLLMBackend``: the ``litellm`` teacher: every other service, through the package litellm.

Requires ``pip install 'thinklab[litellm]'``. litellm finds the service's key in the environment; a ``base_url`` from a config gets
only what ``key_env`` names. Retries, limits, and caps are thinklab's. A model that the price table does not have is priced by
the table inside the installed litellm.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import openai

from thinklab.errors import ConfigError, TeacherError
from thinklab.teachers.faults import Fault, from_sdk, from_status
from thinklab.teachers.openai import RESERVED, OpenAIBackend, hinted
from thinklab.teachers.options import remote_options
from thinklab.teachers.prices import Price, price_of
from thinklab.teachers.remote import RemoteTeacher
from thinklab.teachers.secrets import Secret, checked_url, find_key, key_needed
from thinklab.teachers.wire import checked_body, checked_headers
from thinklab.types import TeacherReply, TeacherRequest

OWN_OPTIONS = (
    "model",
    "base_url",
    "temperature",
    "key_env",
    "top_p",
    "reasoning_effort",
    "structured",
    "extra_body",
    "headers",
)
_HOLDS_A_KEY = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)(_ID)?$")


def litellm_teacher(
    model: str,
    base_url: str | None = None,
    temperature: float | None = None,
    key_env: str | None = None,
    top_p: float | None = None,
    reasoning_effort: str | None = None,
    structured: bool = False,
    extra_body: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    **options: Any,
) -> RemoteTeacher:
    """A model of any service that litellm knows as the teacher.

    Args:
        model: its name in litellm, with the service in front: ``mistral/mistral-small-latest``, ``groq/qwen-3-32b``.
        base_url: another address; None: the service's own.
        temperature: None: not sent.
        key_env: name of the environment variable (or Colab secret) with the key for ``base_url``.
        top_p: nucleus sampling; None: not sent.
        reasoning_effort: of a reasoning model, as litellm names it; None: not sent.
        structured: decode along a JSON schema, so that no tag can be missing; a service that rejects it is asked in words from
            then on.
        extra_body: more fields of each request.
        headers: more headers of each request; never a key.
        options: see ``options.RemoteOptions``.

    Raises:
        ConfigError: for an invalid option, or a service that litellm does not know.
        TeacherError: if the package is missing.
    """
    settings = remote_options("litellm", options, OWN_OPTIONS)
    sampling = {"temperature": temperature, "top_p": top_p, "reasoning_effort": reasoning_effort}
    backend = LiteLLMBackend(model, base_url, key_env, structured, sampling, extra_body, headers)
    return RemoteTeacher(backend, settings)


class LiteLLMBackend(OpenAIBackend):
    """One call through litellm. Options as in ``litellm_teacher``."""

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        key_env: str | None = None,
        structured: bool = False,
        sampling: Mapping[str, Any] = {},
        extra_body: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.model, self.priced_as, self.batches = "litellm", model, model, None
        self._litellm = litellm = _package()
        try:
            litellm.get_llm_provider(model, api_base=base_url)
        except litellm.exceptions.BadRequestError:
            raise ConfigError(
                f"litellm knows no service for the model {model!r}: write the service in front, such as mistral/{model}"
            ) from None
        given = find_key((key_env,), base_url or model) if key_env else Secret("")
        # without an address of the config's own, litellm reads the key of the service that the model names
        self._key: str | None = given.reveal() or ("none" if base_url else None)
        self._address = checked_url(base_url) if base_url else None
        inside = [value for name, value in os.environ.items() if _HOLDS_A_KEY.search(name) and len(value) > 7]
        self.secret = Secret(given.reveal(), *inside)
        self._limit_name, self._structured = "max_tokens", structured
        self._extra = {name: value for name, value in sampling.items() if value is not None}
        if body := checked_body(extra_body, RESERVED):
            self._extra["extra_body"] = body
        self.headers = checked_headers(headers)
        self.price = _price(model, litellm.model_cost)
        self.settings = {
            "url": base_url or "",
            "model": model,
            "extra": self._extra,
            **({"headers": self.headers} if self.headers else {}),
            **({"structured": True} if structured else {}),
        }

    def __repr__(self) -> str:
        return f"<litellm, {self.model}>"

    async def call(self, request: TeacherRequest, timeout_s: float, mark_prefix: bool) -> TeacherReply:
        """One attempt, not streamed."""
        try:
            try:
                reply = await self._complete(request, timeout_s)
            except self._litellm.exceptions.BadRequestError as error:
                if not self.unstructured(str(error)):
                    raise
                reply = await self._complete(request, timeout_s)
            return self._read(reply, request)
        except Fault:
            raise
        except Exception as error:
            raise _fault(error, self._litellm.exceptions) from None

    async def _complete(self, request: TeacherRequest, timeout_s: float) -> Any:
        return await self._litellm.acompletion(
            timeout=timeout_s,
            num_retries=0,
            max_retries=0,
            api_base=self._address,
            api_key=self._key,
            extra_headers=self.headers or None,
            **self.arguments(request),
        )

    async def check(self) -> None:
        """Looks for the key in the environment, without a call."""
        if self._key is None and key_needed():
            found = await asyncio.to_thread(self._litellm.validate_environment, self.model)
            if missing := found.get("missing_keys"):
                raise Fault("key", f"no key for {self.model}: set the environment variable {' and '.join(missing)}", fatal=True)


def _package() -> Any:
    """litellm, imported when it is needed: the import takes seconds.

    Raises:
        TeacherError: if it is not installed.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else its import downloads a price table
    try:
        import litellm
    except ImportError as error:
        raise TeacherError("the teacher 'litellm' needs the package litellm: pip install 'thinklab[litellm]'") from error
    litellm.suppress_debug_info = True  # it prints an advertisement with each error
    return litellm


def _fault(error: Any, its: Any) -> Fault:
    """litellm's exceptions are the openai package's, with two that say more."""
    if isinstance(error, its.ContextWindowExceededError):
        return Fault("prompt-too-long", str(error.message))
    if isinstance(error, its.ContentPolicyViolationError):
        return Fault("flagged", str(error.message))
    if isinstance(error, its.UnsupportedParamsError):
        return hinted(from_status(400, None, str(error.message)))
    if isinstance(error, its.APIConnectionError):  # also for what litellm itself cannot cope with
        return Fault("connection", " ".join(str(error.message).split())[:300], again=True)
    if isinstance(error, its.APIError) and isinstance(error.status_code, int):
        return from_status(error.status_code, None, str(error.message))
    return hinted(from_sdk(error, openai))


def _price(model: str, table: Mapping[str, Any]) -> Price | None:
    """The price in litellm's own table; None if it has none."""
    row = table.get(model) or table.get(model.partition("/")[2]) or {}
    names = {"input": "input_cost_per_token", "output": "output_cost_per_token", "cache_read": "cache_read_input_token_cost"}
    rates = {rate: row[name] * 1e6 for rate, name in names.items() if isinstance(row.get(name), int | float)}
    if not rates.get("input") or "output" not in rates:
        return None
    return price_of(rates, f"litellm, {model}", f"litellm {version('litellm')}", "its own table, not checked against the service")
