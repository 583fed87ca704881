r"""``Quantity``: a text as an exact number with unit: ``1e6``, ``€72``, ``2½``, ``72 km/h``, ``eighteen``.

A closed grammar: anything else than a number with a unit (``_units``) is left to math-verify.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from thinklab.tasks._units import unit

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SIGNS = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "‐": "-",
        "‑": "-",
        "×": "\\times ",
        "·": "\\cdot ",
        "÷": "/",
        "⁄": "/",
        "≠": "\\ne ",
        "≥": "\\ge ",
        "≤": "\\le ",
        "≈": "\\approx ",
        "π": "\\pi ",
        "∞": "\\infty ",
        "±": "\\pm ",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
        "\u200b": "",
        "√": "\\sqrt ",
    }
)
_WRAPPED = re.compile(
    r"\\(?:textcolor|colorbox)\s*\{[^{}]*\}\s*\{((?:[^{}]|\{[^{}]*\})*)\}|\\color\s*\{[^{}]*\}\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
    r"|\\(?:text|textbf|textit|textrm|texttt|textsf|emph|mathrm|mathbf|mathit|mathsf|mbox|boldsymbol|bm|underline|operatorname|"
    r"boxed|fbox|uline)\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_SWITCHES = re.compile(
    r"\\color\s*\{[^{}]*\}|\\(?:displaystyle|textstyle|bfseries|bf|rm|it|large|Large|LARGE|huge|Huge|small)\b"
    r"|\*\*|__|`"
)

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+(?![0-9])|[0-9]{1,30})"
_PLAIN = rf"(?:{_DIGITS}(?:\.[0-9]{{1,15}})?|{_DIGITS}\.(?![0-9])|\.[0-9]{{1,15}})"
_RATIO = r"(?:([0-9]{1,15}) ?/ ?([0-9]{1,15})|\\frac ?(?:\{ ?(-?[0-9]{1,15}) ?\}|([0-9])) ?(?:\{ ?(-?[0-9]{1,15}) ?\}|([0-9])))"
_TIMES_TEN = r"(?: ?(?:\\times|\\cdot|\*|x) ?10 ?(?:\^|\*\*) ?\{? ?([-+]?[0-9]{1,2}) ?\}?|[eE]([-+]?[0-9]{1,2})(?![0-9A-Za-z]))"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?) ?(?P<money>US\$?|\$|€|£|¥|₹|USD|EUR|GBP|Rs\.?)? ?(?P<sign2>[-+]?) ?"
    rf"(?:(?:(?P<whole>[0-9]{{1,15}})(?: |(?=\\frac)))?{_RATIO}|(?P<plain>{_PLAIN}){_TIMES_TEN}?)(?P<ordinal>(?<=[0-9])(?:st|nd|rd|th)\b)?"
    rf"(?P<scale> ?(?:hundred|thousand|million|billion|trillion|dozen)\b|k\b)?"
)
_SCALES = {"hundred": 100, "k": 1000, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_MONEY = {"€": "euro", "EUR": "euro", "£": "gbp", "GBP": "gbp", "¥": "yen", "₹": "rupee", "Rs": "rupee", "Rs.": "rupee"}
_NAMED = re.compile(
    r"(?:(?!\\(?:not|neg|lnot))\\?[A-Za-z][A-Za-z' ]{0,60})?(?:\([A-Za-z0-9 ]{0,20}\))? ?= ?(?=[^=]*$)|(?:(?:a )?(?:grand )?total|result|sum)(?: of|:) ",  # noqa: E501
    re.I,
)
_LEADS = re.compile(
    r"(?:(?:\\approx|\\sim|~|exactly|only|just|about|around|roughly|approximately|approx\.?|therefore|so|thus|"
    r"it is|it's|he has|she has|a total of|total of)[ ,:]*)+",
    re.I,
)

_ONES = {
    w: k
    for k, w in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen".split()
    )
}
_TENS = {w: 10 * k for k, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}


class Quantity(NamedTuple):
    value: Fraction
    unit: frozenset[str]
    """Stems, see ``_units``; empty for a number without a unit."""

    def equals(self, other: Quantity) -> bool:
        """The same number, and no contradicting unit. ``50%`` is 50 and 0.5."""
        if not (self.unit <= other.unit or other.unit <= self.unit):
            return False
        if self.value == other.value:
            return True
        percent = [q for q in (self, other) if "%" in q.unit]
        return len(percent) == 1 and {self.value, other.value} == {percent[0].value, percent[0].value / 100}


def plain(text: str) -> str:
    """``text`` without color, emphasis and other typesetting, and with ASCII for the Unicode of fractions, powers and signs."""
    out = []
    for c in text:
        if c.isascii():
            out.append(c)
        elif unicodedata.category(c) == "No" and "⁄" in unicodedata.normalize("NFKC", c):
            part = unicodedata.normalize("NFKC", c).replace("⁄", "/")
            out.append(f" {part}" if out and out[-1].isdigit() else part)
        elif unicodedata.category(c) == "Nd":
            out.append(str(unicodedata.decimal(c)))
        else:
            out.append(c)
    text = re.sub(r"[⁰¹²³⁴-⁹⁻]+", lambda m: f"^{{{m[0].translate(_SUPERSCRIPTS)}}}", "".join(out)).translate(_SIGNS)
    for _ in range(4):
        text, changed = _WRAPPED.subn(lambda m: f" {next(g for g in m.groups() if g is not None)} ", text)
        if not changed:
            break
    return _SWITCHES.sub(" ", text)


def quantity(text: str, question: str = "", dollars: bool = False) -> Quantity | None:
    """A normalized answer as a number with its unit; None for anything else.

    Args:
        question: its nouns may be units.
        dollars: whether there was a dollar sign, which normalization removes.
    """
    text = text.strip()
    text = text[1:-1].strip() if text[:1] == "(" and text[-1:] == ")" and "(" not in text[1:] else text
    for start in (_NAMED, _LEADS, _NAMED):
        if match := start.match(text):
            text = text[match.end() :].strip()
    match = _NUMBER.match(text)
    if match is None or (match["sign"] and match["sign2"]):
        value, rest = _spelled(text)
        if value is None:
            return None
        money = ""
    else:
        value, rest, money = _value(match, question), text[match.end() :], match["money"] or ""
        if value is None:
            return None
        if rest[:1].isalpha() and not match["plain"]:
            return None
        if rest[:1].isalpha() and re.match(r"[^\W\d_](?![^\W\d_])", rest) and rest[:1] not in "gmshlLVWJNAK":
            return None  # 18x is a product
    rest = (
        re.sub(r"\^ ?\{? ?\\circ ?\}?|\\degree", "°", rest)
        .replace("\\%", "%")
        .replace("\\ ", " ")
        .replace("{", "")
        .replace("}", "")
    )
    found = unit(re.sub(r"\\(?=€|£)", "", rest), question)
    per_unit = rest[:1] == "/" and found and len(found) == 1  # "18/day"
    if found is None or (rest.startswith(("/", "^", "*", "-")) and not per_unit):
        return None
    if money or dollars:
        found |= {_MONEY.get(money, "dollar")}
    return Quantity(value, found)


def _value(match: re.Match, question: str) -> Fraction | None:
    groups = match.groups()
    first = match.re.groupindex["whole"]  # the ratio's groups follow the whole part
    a, b, c, d, e, f = groups[first : first + 6]
    if match["plain"] is not None:
        value = Fraction(match["plain"].replace(",", "").replace(" ", "").rstrip("."))
        index = match.re.groupindex["plain"]
        power = groups[index] or groups[index + 1]
        if power:
            value *= Fraction(10) ** int(power)
    else:
        over, under = int(a or c or d), int(b or e or f)
        if under == 0:
            return None
        value = Fraction(over, under)
        if match["whole"]:
            if value < 0:
                return None
            value += int(match["whole"])
    if match["ordinal"] and value.denominator != 1:
        return None
    if match["scale"] and not re.search(rf"\bhow many {match['scale'].strip()}", question, re.I):  # "how many dozen?" counts them
        value *= _SCALES[match["scale"].strip()]
    return -value if "-" in match["sign"] + match["sign2"] else value


def _spelled(text: str) -> tuple[Fraction | None, str]:
    """A number in English words at the start of ``text``, up to the thousands, and what follows it."""
    total = current = 0
    used, place = 0, 0
    for match in re.finditer(r"([A-Za-z]+)[ -]*", text):
        word = match[1].casefold()
        if match.start() != place or (used == 0 and word in ("hundred", "thousand")):
            break
        if word in _ONES:
            current += _ONES[word]
        elif word in _TENS:
            current += _TENS[word]
        elif word == "hundred" and 0 < current < 100:
            current *= 100
        elif word == "thousand" and current:
            total, current = total + current * 1000, 0
        else:
            break
        used, place = used + 1, match.end()
    if not used or not _well_formed(text[:place]):
        return None, text
    return Fraction(total + current), text[place:]


def _well_formed(words: str) -> bool:
    """ "twenty one" is a number, "one two" and "ten five" are none."""
    shape = "".join(
        "o" if 0 < _ONES.get(w, 0) < 10 else "t" if w in _ONES else "y" if w in _TENS else "h" if w == "hundred" else "k"
        for w in re.findall(r"[a-z]+", words.casefold())
    )
    part = r"(?:o?h?(?:yo|y|t|o)|oh)"
    return bool(re.fullmatch(rf"(?:{part}k)?(?:{part})?", shape)) and "oo" not in shape and "ot" not in shape
