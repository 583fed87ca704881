"""Pydantic models of the ``detector:`` section: phrase, regex, all, any, not, same_as, judge, python.

A detector is a mapping with exactly one of the keys ``phrase``, ``regex``, ``all``, ``any``, ``not``, ``same_as``,
``judge`` and ``python``; that key determines which other keys are allowed. ``detect.py`` turns these models into functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

KINDS = ("phrase", "regex", "all", "any", "not", "same_as", "judge", "python")
MAX_CHILDREN = 40

Where = Literal[
    "anywhere", "start", "end", "first_sentence", "last_sentence", "last_line", "before_answer", "after_answer", "between_answers"
]
"""Which part of the text counts. An answer is a ``\\boxed{}``: ``before_answer`` lies before the last one,
``after_answer`` after the first one, ``between_answers`` both. ``end``: only spaces and closing marks may follow."""

Phrase = Annotated[str, Field(min_length=1, max_length=300)]
Pattern = Annotated[str, Field(min_length=1, max_length=1000)]


class Strict(BaseModel):
    """No unknown keys, no silent conversions, no changes afterward."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False, allow_inf_nan=False)


class Counted(Strict):
    """What phrase and regex have in common: where they search, and how many matches they require there."""

    count: int | None = Field(default=None, ge=1, le=1000, description="exactly this many matches")
    at_least: int | None = Field(default=None, ge=1, le=1000, description="this many matches or more; 1 if not given")
    at_most: int | None = Field(default=None, ge=1, le=1000, description="this many matches or fewer")
    where: Where = Field(default="anywhere", description="the part of the text in which matches count")
    outside_quotes: bool = Field(default=False, description="leave out matches inside quotation marks")

    @model_validator(mode="after")
    def _one_way_to_count(self) -> Counted:
        if self.count is not None and (self.at_least is not None or self.at_most is not None):
            raise ValueError("give either count or at_least/at_most, not both")
        if self.at_least is not None and self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(f"at_most ({self.at_most}) is less than at_least ({self.at_least})")
        return self

    @property
    def bounds(self) -> tuple[int, int | None]:
        """(fewest, most) matches; None means no upper bound."""
        return (self.count, self.count) if self.count is not None else (self.at_least or 1, self.at_most)


class PhraseSpec(Counted):
    """Fixed words: one phrase, or several of which each match counts."""

    phrase: Phrase | Annotated[list[Phrase], Field(min_length=1, max_length=100)]
    case: Literal["exact", "ignore"] = "exact"
    whole_words: bool = Field(default=True, description="'agree' does not match inside 'disagree'")


class RegexSpec(Counted):
    """Patterns of the third-party ``regex`` module: one, or several of which each match counts. With a time limit."""

    regex: Pattern | Annotated[list[Pattern], Field(min_length=1, max_length=60)]
    case: Literal["exact", "ignore"] = "exact"
    timeout_ms: int = Field(default=50, ge=1, le=1000, description="a text that takes longer counts as not showing the behavior")

    @property
    def patterns(self) -> list[str]:
        return [self.regex] if isinstance(self.regex, str) else list(self.regex)


class AllSpec(Strict):
    """Every part holds."""

    all: list[DetectorSpec] = Field(min_length=1, max_length=MAX_CHILDREN)


class AnySpec(Strict):
    """At least one part holds."""

    any: list[DetectorSpec] = Field(min_length=1, max_length=MAX_CHILDREN)


class NotSpec(Strict):
    """The part does not hold."""

    not_: DetectorSpec = Field(alias="not")


class SameAsSpec(Strict):
    """The detector of another behavior. The loader replaces this by that detector, so no other code sees it."""

    same_as: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)


class JudgeSpec(Strict):
    """A yes/no question about the text for a teacher. Costs calls, so for probes only: never part of a reward."""

    judge: str = Field(min_length=1, max_length=2000)


class PythonSpec(Strict):
    """A detector from an installed package, by the name of its entry point (group ``thinklab.detectors``)."""

    python: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z_][\w.-]*$")
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)


def _kind(value: Any) -> str | None:
    if isinstance(value, Mapping):
        found = [kind for kind in KINDS if kind in value]
        return f"#{found[0]}" if len(found) == 1 else None
    return next((tag for model, tag in _TAGS.items() if isinstance(value, model)), None)


DETECTORS = (PhraseSpec, RegexSpec, AllSpec, AnySpec, NotSpec, SameAsSpec, JudgeSpec, PythonSpec)
TAG_NAMES = frozenset(f"#{kind}" for kind in KINDS)
_TAGS = dict(zip(DETECTORS, (f"#{kind}" for kind in KINDS), strict=True))


DetectorSpec = Annotated[
    Annotated[PhraseSpec, Tag("#phrase")]
    | Annotated[RegexSpec, Tag("#regex")]
    | Annotated[AllSpec, Tag("#all")]
    | Annotated[AnySpec, Tag("#any")]
    | Annotated[NotSpec, Tag("#not")]
    | Annotated[SameAsSpec, Tag("#same_as")]
    | Annotated[JudgeSpec, Tag("#judge")]
    | Annotated[PythonSpec, Tag("#python")],
    Discriminator(
        _kind,
        custom_error_type="detector_kind",
        custom_error_message=f"a detector has exactly one of the keys {', '.join(KINDS)}",
    ),
]
"""Tags begin with ``#`` so that they can be told from keys in the paths of error messages."""

for _model in (AllSpec, AnySpec, NotSpec):
    _model.model_rebuild()


def children(spec: Any) -> list[Any]:
    """The detectors directly inside ``spec``."""
    if isinstance(spec, AllSpec):
        return list(spec.all)
    if isinstance(spec, AnySpec):
        return list(spec.any)
    return [spec.not_] if isinstance(spec, NotSpec) else []


def walk(spec: Any) -> list[Any]:
    """``spec`` and every detector inside it."""
    return [spec, *(inner for child in children(spec) for inner in walk(child))]
