"""``check_types``: a teacher's options against its signature, before it is created.

Options come from YAML, where ``none`` is a text and ``401`` a number: a backend would fail on them only later.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from thinklab.errors import ConfigError

STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
NO_VALUE = ("none", "null", "nil", "~")


def check_types(backend: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raises:
    ConfigError: naming the first option whose value is not of the annotated type. Options without annotation are not checked.
    """
    for name, hint in _hints(factory).items():
        if name not in options:
            continue
        value = options[name]
        if name == "model" and isinstance(value, str) and not value.strip():
            raise ConfigError(f"the teacher {backend!r}: option model is empty")
        try:
            TypeAdapter(hint, config=STRICT).validate_python(value)
        except ValidationError as error:
            raise ConfigError(
                f"the teacher {backend!r}: option {name}: {_what(error)}, not {value!r}{_fix(value, hint)}"
            ) from None
        except PydanticUserError:  # an annotation that pydantic cannot check, in another package
            continue


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except Exception:  # names that exist only for type checkers
        return {}


def _what(error: ValidationError) -> str:
    """What is expected instead; of a union every part that takes a text or a number."""
    wanted = []
    for part in error.errors()[:2]:
        if part["type"] == "literal_error":
            choices = part["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            wanted.append(f"one of {choices}" if "," in choices else choices)
        else:
            wanted.append(part["msg"].removeprefix("Input should be "))
    return " or ".join(dict.fromkeys(wanted if len(error.errors()) == 2 else wanted[:1]))


def _fix(value: Any, hint: Any) -> str:
    if isinstance(value, str) and value.lower() in NO_VALUE:
        return "; for no value write null, or leave the option out"
    if not isinstance(value, str) and "str" in str(hint):
        return f'; in quotes it is a text: "{value}"'
    return ""
