"""``Section``: the base class of every section of a config: no unknown keys, no non-finite numbers."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @model_validator(mode="after")
    def _finite(self) -> Self:
        """Options that another component checks later; for fields declared here, ``allow_inf_nan`` rejects non-finite numbers."""
        for key, value in (self.model_extra or {}).items():
            if not _is_finite(value):
                raise ValueError(f"{key} must be a finite number, not {value}")
        return self


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)
