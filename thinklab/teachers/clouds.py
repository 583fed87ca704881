"""``bedrock``, ``vertex``, ``foundry``: the teachers with Claude at Amazon, Google, and Microsoft, by its SDK.

The credentials are the cloud's own, found where its tools look for them. ``bedrock`` needs ``pip install 'thinklab[bedrock]'``
unless AWS_BEARER_TOKEN_BEDROCK is set, ``vertex`` needs ``pip install 'thinklab[vertex]'``. None of the three has a free call, so
``check`` only looks for credentials, and none has Anthropic's batch API.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal

from anthropic import AsyncAnthropicBedrock, AsyncAnthropicFoundry, AsyncAnthropicVertex

from thinklab.errors import ConfigError, TeacherError
from thinklab.teachers.anthropic import AnthropicBackend, Wire
from thinklab.teachers.faults import Fault
from thinklab.teachers.options import remote_options
from thinklab.teachers.remote import RemoteTeacher
from thinklab.teachers.secrets import Secret, find_key, key_needed

Effort = Literal["low", "medium", "high", "xhigh", "max"]
Thinking = Literal["auto", "adaptive", "disabled", "default"]
SHARED = ("model", "effort", "thinking", "key_env", "structured", "extra_body", "headers")
BEARER, FOUNDRY_KEY, FOUNDRY_RESOURCE = "AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_FOUNDRY_API_KEY", "ANTHROPIC_FOUNDRY_RESOURCE"


class CloudBackend(AnthropicBackend):
    """One call to Claude at a cloud.

    Args:
        client: one of the SDK's clients.
        priced_as: the model's name in the price table.
        missing: why there are no credentials; empty if there are some.
    """

    def __init__(
        self,
        name: str,
        model: str,
        client: Any,
        secret: Secret,
        priced_as: str,
        missing: Callable[[], str],
        effort: str | None,
        thinking: str,
        wire: Wire,
    ) -> None:
        self.name, self.model, self.priced_as = name, model, priced_as
        self.secret, self._client, self._missing = secret, client, missing
        self.batches = None
        self._arrange(model, None, effort, thinking, wire)

    def __repr__(self) -> str:
        return f"<{self.name}, {self.model}>"

    async def check(self) -> None:
        """Looks for credentials, without a call."""
        if why := await asyncio.to_thread(self._missing):
            raise Fault("key", why, fatal=True)


def bedrock(
    model: str,
    region: str | None = None,
    profile: str | None = None,
    effort: Effort | None = None,
    thinking: Thinking = "auto",
    key_env: str | None = None,
    structured: bool = False,
    extra_body: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    **options: Any,
) -> RemoteTeacher:
    """Claude on Amazon Bedrock as the teacher.

    Args:
        model: its id there, such as ``us.anthropic.claude-haiku-4-5-20251001-v1:0``.
        region: such as ``us-east-1``; None: AWS_REGION, or the profile's.
        profile: a profile of your AWS configuration; None: the default credentials.
        effort: the effort level, for models that support it; None: the model's default.
        thinking: as for ``anthropic``.
        key_env: environment variable with a Bedrock API key; None: AWS_BEARER_TOKEN_BEDROCK, or else your AWS credentials.
        structured: decode along a JSON schema, so that no tag can be missing.
        extra_body: more fields of each request.
        headers: more headers of each request; never a key.
        options: see ``options.RemoteOptions``.

    Raises:
        ConfigError: for an invalid option, or without a region.
        TeacherError: if a package is missing.
    """
    settings = remote_options("bedrock", options, (*SHARED, "region", "profile"))
    bearer = find_key((key_env or BEARER,), "Amazon Bedrock", required=bool(key_env))
    signed = not bearer and key_needed()
    if signed and find_spec("boto3") is None:
        raise TeacherError(
            f"the teacher 'bedrock' signs its requests with boto3: pip install 'thinklab[bedrock]', or set {BEARER} to an API key"
        )
    place = _place("region", region, r"[a-z0-9-]{2,40}")
    try:
        client = AsyncAnthropicBedrock(
            api_key=bearer.reveal() or None,
            aws_region=place,
            aws_profile=profile if signed else None,
            max_retries=0,
        )
    except ValueError:
        raise ConfigError("the teacher 'bedrock' needs a region: set the option region, or AWS_REGION") from None

    def missing() -> str:
        if not signed:
            return ""
        import boto3

        try:
            found = boto3.Session(profile_name=profile).get_credentials()
        except Exception as error:  # botocore has no common base for what a configuration can lack
            return f"the AWS credentials cannot be read: {error}"
        return "" if found else f"no AWS credentials were found: log in with the AWS tools, set profile, or set {BEARER}"

    secret = bearer or Secret(os.environ.get("AWS_SESSION_TOKEN", ""))
    wire = Wire(structured, extra_body, headers)
    return RemoteTeacher(CloudBackend("bedrock", model, client, secret, model, missing, effort, thinking, wire), settings)


def vertex(
    model: str,
    region: str | None = None,
    project: str | None = None,
    effort: Effort | None = None,
    thinking: Thinking = "auto",
    key_env: str | None = None,
    structured: bool = False,
    extra_body: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    **options: Any,
) -> RemoteTeacher:
    """Claude on Google Vertex AI as the teacher.

    Args:
        model: its id there, such as ``claude-haiku-4-5@20251001``.
        region: such as ``global`` or ``us-east5``; None: CLOUD_ML_REGION.
        project: your Google Cloud project; None: ANTHROPIC_VERTEX_PROJECT_ID, or that of your credentials.
        effort: the effort level, for models that support it; None: the model's default.
        thinking: as for ``anthropic``.
        key_env: environment variable with an access token; None: your application-default credentials.
        structured: decode along a JSON schema, so that no tag can be missing.
        extra_body: more fields of each request.
        headers: more headers of each request; never a key.
        options: see ``options.RemoteOptions``.

    Raises:
        ConfigError: for an invalid option, or without a region.
        TeacherError: if a package is missing.
    """
    settings = remote_options("vertex", options, (*SHARED, "region", "project"))
    token = find_key((key_env,), "Google Vertex AI") if key_env else Secret("")
    signed = not token and key_needed()
    if signed and not (find_spec("google") and find_spec("google.auth")):
        raise TeacherError(
            "the teacher 'vertex' finds its credentials with google-auth: pip install 'thinklab[vertex]', or set key_env to the "
            "variable with an access token"
        )
    place = _place("region", region or os.environ.get("CLOUD_ML_REGION"), r"[a-z0-9-]{2,40}")
    if place is None:
        raise ConfigError("the teacher 'vertex' needs a region: set the option region, such as global, or CLOUD_ML_REGION")
    named = _place("project", project or os.environ.get("ANTHROPIC_VERTEX_PROJECT_ID"), r"[a-z0-9:.-]{1,64}")
    if named is None and token:
        raise ConfigError("the teacher 'vertex' needs a project: set the option project, or ANTHROPIC_VERTEX_PROJECT_ID")
    given: dict[str, Any] = {"project_id": named} if named else {}
    client = AsyncAnthropicVertex(region=place, access_token=token.reveal() or None, max_retries=0, **given)

    def missing() -> str:
        if not signed:
            return ""
        import google.auth

        try:
            _, found = google.auth.default()
        except Exception as error:
            return f"no Google credentials were found: run gcloud auth application-default login ({error})"
        return "" if named or found else "no project: set the option project, or ANTHROPIC_VERTEX_PROJECT_ID"

    wire = Wire(structured, extra_body, headers)
    backend = CloudBackend("vertex", model, client, token, f"vertex_ai/{model}", missing, effort, thinking, wire)
    return RemoteTeacher(backend, settings)


def foundry(
    model: str,
    resource: str | None = None,
    effort: Effort | None = None,
    thinking: Thinking = "auto",
    key_env: str | None = None,
    structured: bool = False,
    extra_body: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    **options: Any,
) -> RemoteTeacher:
    """Claude on Microsoft Foundry as the teacher. The key: ANTHROPIC_FOUNDRY_API_KEY, or what ``key_env`` names.

    Args:
        model: the name of your deployment, such as ``claude-haiku-4-5``.
        resource: your Foundry resource; None: ANTHROPIC_FOUNDRY_RESOURCE. Another one needs ``key_env``: another person's config
            must not send them your key.
        effort: the effort level, for models that support it; None: the model's default.
        thinking: as for ``anthropic``.
        key_env: environment variable with the key of ``resource``.
        structured: decode along a JSON schema, so that no tag can be missing.
        extra_body: more fields of each request.
        headers: more headers of each request; never a key.
        options: see ``options.RemoteOptions``.

    Raises:
        ConfigError: for an invalid option, or without a resource.
        TeacherError: if there is no key.
    """
    settings = remote_options("foundry", options, (*SHARED, "resource"))
    own = os.environ.get(FOUNDRY_RESOURCE)
    named = _place("resource", resource, r"[A-Za-z0-9-]{1,64}")
    if named and named != own and not key_env:
        raise ConfigError(
            f"{FOUNDRY_KEY} is not sent to the resource {named!r}: set {FOUNDRY_RESOURCE} to it, or name the environment variable "
            "with its key with key_env"
        )
    if not (named or own or os.environ.get("ANTHROPIC_FOUNDRY_BASE_URL")):
        raise ConfigError(f"the teacher 'foundry' needs your resource: set the option resource, or {FOUNDRY_RESOURCE}")
    secret = find_key((key_env or FOUNDRY_KEY,), "Microsoft Foundry")
    key = secret.reveal() or "none"
    client = (
        AsyncAnthropicFoundry(api_key=key, resource=named, max_retries=0)
        if named and named != own
        else AsyncAnthropicFoundry(api_key=key, max_retries=0)
    )
    wire = Wire(structured, extra_body, headers)
    backend = CloudBackend("foundry", model, client, secret, f"azure_ai/{model}", lambda: "", effort, thinking, wire)
    return RemoteTeacher(backend, settings)


def _place(option: str, value: str | None, form: str) -> str | None:
    """A part of an address from a config: it must not be able to name another host."""
    if value is not None and not re.fullmatch(form, value):
        raise ConfigError(f"teacher option {option}: {value!r} is no {option}")
    return value or None
