"""``loads``: standard JSON; ``NaN``, infinite or endless numbers are errors with a position.

Python's ``json`` also accepts ``NaN`` and ``Infinity``, reads ``1e999`` as infinity, and raises a plain ``ValueError`` on
integers of over 4,300 digits. Here all of these are errors with a position.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

LONGEST_NUMBER = 1000
"""Maximum digits of an integer; no answer or setting needs more."""


def loads(text: str) -> Any:
    """The value in ``text``.

    Raises:
        json.JSONDecodeError: not JSON, a number that is not finite, or one of over ``LONGEST_NUMBER`` digits.
    """

    def refuse(number: str, why: str) -> json.JSONDecodeError:
        found = re.search(rf"(?<![\w.\"]){re.escape(number[:LONGEST_NUMBER])}", text)
        return json.JSONDecodeError(why, text, found.start() if found else 0)

    def whole(number: str) -> int:
        if len(number) > LONGEST_NUMBER:
            raise refuse(number, f"a number of {len(number.lstrip('-')):,} digits; write a long one as text, in quotation marks")
        return int(number)

    def broken(number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            raise refuse(number, f"{number[:20]} is too large for a number")
        return value

    def constant(word: str) -> Any:
        raise refuse(word, f"{word} is not a number in JSON; leave the value out or write null")

    try:
        return json.loads(text, parse_int=whole, parse_float=broken, parse_constant=constant)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", text, 0) from None
