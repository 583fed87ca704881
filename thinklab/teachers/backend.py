"""``Backend``: what a network teacher needs of one service: a call, a check, and what its replies depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from thinklab.teachers.prices import ModelFacts, Price, facts
from thinklab.teachers.secrets import Secret
from thinklab.types import TeacherReply, TeacherRequest


class Backend(Protocol):
    """One service. Everything that determines its replies is in ``settings``."""

    name: str
    model: str
    secret: Secret
    settings: Mapping[str, Any]
    """For the cache key: address, model, temperature, and so on. Never the API key."""

    async def call(self, request: TeacherRequest, timeout_s: float, mark_prefix: bool) -> TeacherReply:
        """One attempt. ``mark_prefix``: ask the service to cache all but the last message.

        Raises:
            Fault: and nothing else.
        """
        ...

    async def check(self) -> None:
        """One free call that needs the key.

        Raises:
            Fault: fatal if no call can succeed.
        """
        ...


@runtime_checkable
class MarksUnknown(Protocol):
    """A backend whose service caches marked prefixes of any model."""

    cache_from_unknown: int
    """Tokens from which a prefix of a model without an entry in the price table is cached."""


@runtime_checkable
class Priced(Protocol):
    """A backend whose model has another name in the price table than at its service."""

    priced_as: str
    """The name there; empty: the price is not known."""


@runtime_checkable
class KnowsPrice(Protocol):
    """A backend that knows the price of a model which no table has."""

    price: Price | None


def facts_of(backend: Backend, prices: str | None) -> ModelFacts:
    """What is known about the backend's model: from the tables of prices, or from the backend itself.

    Args:
        prices: path of a table that counts before the others.

    Raises:
        ConfigError: if a table cannot be read.
    """
    found = facts(backend.priced_as if isinstance(backend, Priced) else backend.model, prices)
    if found.price is None and isinstance(backend, KnowsPrice):
        return replace(found, price=backend.price)
    return found
