"""Units of measure after a number: synonyms, powers, the question's nouns; do two units ``agree``?

Measures are a closed list, plus the nouns of the question.

Any other word may turn the number into another one ("18 minus one", "18 squared", "18 million") or retract it ("18 is wrong"),
so arbitrary words are not a unit. Things are counted by the question's own nouns ("18 eggs per day").
"""

from __future__ import annotations

import re

_MEASURES = """
m|meter|metre km|kilometer|kilometre cm|centimeter|centimetre mm|millimeter|millimetre mi|mile ft|foot|feet inch|inches|in yd|yard
league acre hectare|ha furlong fathom angstrom parsec lightyear
g|gram|gramme kg|kilogram|kilo mg|milligram lb|lbs|pound oz|ounce ton|tonne stone
l|liter|litre ml|milliliter|millilitre gal|gallon qt|quart pt|pint cup tbsp|tablespoon tsp|teaspoon barrel bushel
s|sec|second min|minute h|hr|hrs|hour day wk|week month yr|year decade century|centuries ms|millisecond fortnight o'clock
dollar|usd|buck cent|¢ euro|eur|€ gbp|£ yen|jpy|¥ rupee|inr|₹|rs peso franc yuan won dime nickel penny|pennies
degree|deg|° celsius fahrenheit kelvin radian|rad
hz|hertz khz mhz ghz n|newton j|joule kj cal|calorie kcal w|watt kw|kilowatt kwh v|volt a|amp|ampere ohm mol|mole
pa|pascal kpa atm bar
bit byte kb mb gb tb mph|mph kph|kmh rpm knot
%|percent|pct point unit piece item time person|people|persons child|children man|men woman|women student boy|boys girl|girls
"""
_CANONICAL = {word: names.split("|")[0] for names in _MEASURES.split() for word in names.split("|")}
_CANONICAL["pound"] = "lb"

_JOINS = frozenset("per a an each every of in on for the".split()) | {"/"}
_POWERS = frozenset("square squared cubic cubed sq cu".split())
_ASIDES = frozenset(
    "left remaining total altogether overall more old long tall high wide deep away apiece each only combined "
    "now so far in all exactly".split()
)
_NEVER = frozenset(
    """
and or but nor to from than as not no never none neither nothing without except if unless minus plus times time's divided
multiplied by over under above below beneath between is are was were be being been isn't wasn't wrong incorrect false untrue true
right correct impossible unlikely less fewer least most greater larger smaller higher lower short off root power
factorial modulo mod
half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth
ninths tenth
tenths hundredth hundredths thousandth zero one two three four five six seven eight nine ten eleven twelve thirteen
fourteen fifteen
sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
billion trillion
dozen dozens score double twice triple thrice double doubled tripled halved negative positive about almost nearly
approximately roughly maybe perhaps probably possibly would could should might may cannot can't don't doesn't didn't wait actually
instead rather error mistake answer what which how why when where who before after until plus increased decreased reduced raised
subtract add added subtracted percent squared cubed
""".split()
)
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?\.?|[%°¢€£¥₹/]|\^\{?-?[1-4]\}?|[-·*]|\(|\)")
LONGEST = 8  # words of a unit


def stem(word: str) -> str:
    """``word`` in lower case and in the singular, near enough to compare nouns."""
    word = word.casefold().rstrip(".").replace("’", "'")
    if word in _CANONICAL:
        return _CANONICAL[word]
    for ending, instead in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 2 and not word.endswith("ss"):
            single = word[: -len(ending)] + instead
            return _CANONICAL.get(single, single)
    return word


def nouns(question: str) -> frozenset[str]:
    """The words of ``question`` that may be units, as stems."""
    words = re.findall(r"[^\W\d_]{2,}", question.casefold())
    return frozenset(stem(w) for w in words if w not in _NEVER and w not in _JOINS and w not in _POWERS)


def unit(text: str, question: str = "") -> frozenset[str] | None:
    """``text`` as a unit, as a set of stems; None if it is not a unit.

    Empty text is the empty unit. ``km/h`` and ``kilometers per hour`` give the same set, without what joins them.
    """
    text = text.strip().removeprefix("of ").strip()
    tokens = _TOKEN.findall(text)
    if re.sub(r"\s+", "", text) != "".join(tokens) or len(tokens) > 2 * LONGEST:
        return None
    known, found, measured, aside = nouns(question), set(), False, False
    for token in tokens:
        word = token.casefold().rstrip(".")
        if token in "()-·*" or word in _JOINS - {"a", "in"}:
            continue
        if token[0] == "^" or word in _POWERS:
            if not measured and (token[0] == "^" or word in ("squared", "cubed")):
                return None  # "18 squared" is another number, "18 cm squared" is not
            found.add(token.strip("^{}") if token[0] == "^" else "3" if word[0] == "c" else "2")
            continue
        if (word == "in" and len(tokens) > 1) or (word == "a" and token != "A"):
            continue  # "18 in total", "18 dollars a day"; alone they are inch and ampere
        name = stem(word)
        if word in _CANONICAL or name in _CANONICAL.values():
            found.add(name)
            measured = True
        elif word in _ASIDES:
            aside = True
        elif word not in _NEVER and name in known:
            found.add(name)
            measured = True
        else:
            return None
    return frozenset(found) if found or not tokens or aside else None


def agree(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether both units are compatible: one may be less specific than the other, but must not contradict it."""
    return one <= other or other <= one
