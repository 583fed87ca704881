"""``RemoteOptions``: the keys under ``teacher:`` for every network teacher: model, price, caps, limits, cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from thinklab.errors import ConfigError, did_you_mean
from thinklab.teachers.faults import Retry
from thinklab.teachers.limits import Limits
from thinklab.teachers.money import Caps


class RemoteOptions(BaseModel):
    """Limits, caps, cache, and retries of a network teacher."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    max_tokens: int | None = Field(None, ge=1)
    """Maximum reply length in tokens; None: as set by each request. Thinking tokens count as well."""
    timeout_s: float = Field(60.0, gt=0)
    """Timeout of one attempt, from sending to the last byte."""
    attempts: int = Field(5, ge=1)
    """Number of attempts at one request."""
    first_wait_s: float = Field(0.5, ge=0)
    """Wait before the second attempt; doubles with each further attempt, unless the service specifies a wait."""
    longest_wait_s: float = Field(60.0, ge=0)
    """Longest wait between two attempts; a request whose service asks for more has failed."""
    rest_after: int = Field(16, ge=0)
    """Failed requests in a row before requests pause for a minute, then for two ...; 0: never."""
    concurrency: int = Field(16, ge=1)
    """Concurrent calls."""
    requests_per_minute: int = Field(0, ge=0)
    """Most calls in every window of 60 seconds; 0: no limit."""
    tokens_per_minute: int = Field(0, ge=0)
    """Most tokens, input and output together, in every window of 60 seconds; 0: no limit."""
    cap_usd: float | None = Field(None, ge=0)
    """Hard limit on the cost in dollars; needs a price, from the table or from ``price``. None: no limit."""
    cap_tokens: int | None = Field(None, ge=0)
    """Hard limit on input and output tokens together; None: no limit."""
    cap_calls: int | None = Field(None, ge=0)
    """Hard limit on calls, counting each attempt; None: no limit."""
    on_cap: Literal["plain", "stop"] | None = None
    """``plain``: continue without guidance; ``stop``: ``should_stop`` makes the run save and end. None: as ``plain``, but a
    run whose estimate exceeds a cap is rejected before it starts."""
    price: dict[str, Any] | None = None
    """Dollars per million tokens, ``{input: 1.0, output: 5.0}``; None: from the table."""
    prices: str | None = None
    """Path of a price table of your own, whose models count before those of THINKLAB_PRICES and of the shipped table."""
    batch: bool = False
    """Ask through the service's batch API, at its lower price, and wait for minutes to a day. For ``guide`` and for judges, not for
    training."""
    batch_poll_s: float = Field(30.0, gt=0)
    """Seconds between two looks at a batch that is under way."""
    cache: bool | str = True
    """Cache replies on disk: True (in the user's cache folder), a path, or False."""
    max_student_chars: int = Field(12_000, ge=100)
    """Longer answers of the student are cut in the middle."""
    max_reply_chars: int = Field(64_000, ge=100)
    """Longer replies are rejected; thinking does not count."""

    @field_validator("cache")
    @classmethod
    def _cache(cls, value: bool | str) -> bool | str:
        if isinstance(value, str) and value.strip().lower() in ("", "none", "null", "no", "off", "yes", "on"):
            raise ValueError("true, false, or a path")  # YAML reads these as text: a file of that name would be created
        return value

    @property
    def retry(self) -> Retry:
        return Retry(self.attempts, self.first_wait_s, self.longest_wait_s)

    @property
    def limits(self) -> Limits:
        return Limits(self.concurrency, self.requests_per_minute, self.tokens_per_minute)

    @property
    def caps(self) -> Caps:
        return Caps(self.cap_usd, self.cap_tokens, self.cap_calls)


def remote_options(teacher: str, given: Mapping[str, Any], own: tuple[str, ...] = ()) -> RemoteOptions:
    """``RemoteOptions`` from the options that are not the backend's own.

    Args:
        own: names of the backend's options, for the error text.

    Raises:
        ConfigError: naming the first option that is unknown or has an invalid value.
    """
    known = (*own, *RemoteOptions.model_fields)
    for name in given:
        if name not in known:
            if any(word in name.lower() for word in ("key", "secret", "auth")):
                raise ConfigError(
                    f"the teacher {teacher!r} takes no {name!r}: never put a key into a config or a notebook. Set the "
                    "environment variable, or a Colab secret, instead"
                )
            raise ConfigError(
                f"the teacher {teacher!r} has no option {name!r}{did_you_mean(name, known)}; it takes {', '.join(known)}"
            )
    try:
        return RemoteOptions(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:1])
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"teacher option {where}: {said}, not {given.get(where)!r}") from None
