"""``Preset``: services that speak chat completions, by name: address, variable of the key, oddities.

``teacher: {backend: ollama, model: qwen3:8b}`` is ``backend: openai`` with a row of this table; every option of the teacher
``openai`` overrides it. The rows are from public documentation, not from calls to the services.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from thinklab.errors import ConfigError

MaxTokensAs = Literal["max_tokens", "max_completion_tokens"]
DEFAULT_CLAUDE = "claude-haiku-5-5"
"""The default model of the teacher ``anthropic``, named only here: small, current, and cheap."""
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Preset:
    """One service."""

    title: str
    base_url: str = ""
    """Empty: the config must name it."""
    hosts: tuple[str, ...] = ()
    """Where its key may be sent."""
    url_variable: str = ""
    """Environment variable with your own address at a service where every customer has one: its key may be sent there."""
    keys: tuple[str, ...] = ()
    """Environment variables that may hold the key; the first one that is set counts."""
    key_required: bool = False
    key_header: str = ""
    """The header that carries the key; empty: ``Authorization: Bearer``."""
    temperature: float | None = 0.0
    """None: omitted, because the service or its newer models reject it or advise against it."""
    max_tokens_as: MaxTokensAs = "max_tokens"
    effort_in_body: bool = False
    """The effort is sent as ``reasoning: {effort: ...}``, not as ``reasoning_effort``."""
    priced_as: str = ""
    """What stands before the model's name in the price table; empty: its price is not known."""

    @property
    def address(self) -> str:
        """Where it is unless the config says otherwise."""
        own = os.environ.get(self.url_variable, "").rstrip("/") if self.url_variable else ""
        return f"{own}/openai/v1" if own else self.base_url

    def is_at(self, url: str) -> bool:
        """Whether ``url`` is an address of this service."""
        host = urlsplit(url).hostname or ""
        own = urlsplit(os.environ.get(self.url_variable, "")).hostname if self.url_variable else None
        return host in self.hosts or (own is not None and host == own)


OPENAI = Preset(
    "OpenAI",
    "https://api.openai.com/v1",
    hosts=("api.openai.com",),
    keys=("OPENAI_API_KEY",),
    key_required=True,
    temperature=None,
    max_tokens_as="max_completion_tokens",
)
COMPATIBLE = Preset("a compatible server")
"""Any other address of the teacher ``openai``: greedy, as in the method, and with the older name of the limit."""
PRESETS = {
    "openrouter": Preset(
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        hosts=("openrouter.ai",),
        keys=("OPENROUTER_API_KEY",),
        key_required=True,
        effort_in_body=True,
    ),
    "gemini": Preset(
        "Gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        hosts=("generativelanguage.googleapis.com",),
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        key_required=True,
        temperature=None,  # Gemini 3 is to be left at its own
        priced_as="gemini/",
    ),
    "azure": Preset(
        "Azure OpenAI",
        url_variable="AZURE_OPENAI_ENDPOINT",
        keys=("AZURE_OPENAI_API_KEY",),
        key_required=True,
        key_header="api-key",
        temperature=None,
        max_tokens_as="max_completion_tokens",
    ),
    "ollama": Preset("Ollama", "http://127.0.0.1:11434/v1", hosts=LOCAL),
    "llamacpp": Preset("llama.cpp", "http://127.0.0.1:8080/v1", hosts=LOCAL, keys=("LLAMA_API_KEY",)),
    "vllm": Preset("vLLM", "http://127.0.0.1:8000/v1", hosts=LOCAL, keys=("VLLM_API_KEY",)),
}
"""By the name of the backend."""


def check_address(name: str, preset: Preset, base_url: str, query: Mapping[str, str], key_env: str | None) -> None:
    """Reject an address to which the preset's key must not go, or which lacks what the service requires.

    Raises:
        ConfigError: with what to set.
    """
    if not base_url:
        raise ConfigError(
            f"the teacher {name!r} needs the address of your resource: set {preset.url_variable} to "
            "https://NAME.openai.azure.com, or the option base_url to https://NAME.openai.azure.com/openai/v1"
        )
    if preset.key_required and not key_env and not preset.is_at(base_url):
        raise ConfigError(
            f"{preset.keys[0]} is not sent to {base_url}: "
            + (f"set {preset.url_variable} to your own address, or " if preset.url_variable else "")
            + "name the environment variable with the key for that address with key_env"
        )
    if name == "azure" and "/deployments/" in base_url and "api-version" not in query:
        raise ConfigError(
            "an address of one Azure deployment needs its version: set the teacher's option query: {api-version: ...}, or use "
            "https://NAME.openai.azure.com/openai/v1 with model: DEPLOYMENT"
        )
