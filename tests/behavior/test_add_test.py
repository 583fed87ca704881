"""A text goes into the tests of a behavior file wherever these are, and nothing else of the file changes."""

from pathlib import Path

import pytest

from thinklab.behavior import loader
from thinklab.behavior.add_test import with_test
from thinklab.behavior.scaffold import new_text
from thinklab.config.shipped import shipped
from thinklab.errors import BehaviorError

TEXTS = ["So \\boxed{2}. It's: 1, [2] {3} # no", 'two\nlines\t"q"\\n', "\U0001f600 é", "- x", " lead", "a\u2028b"]
HEAD = new_text("x").partition("# Texts that show")[0]
FORMS = {
    "no tests": HEAD,
    "no tests, no line end": HEAD.rstrip(),
    "none yet": HEAD + "tests: {}\n",
    "in one line": HEAD + "tests: {shows: ['a In short: b.'], lacks: []}\n",
    "one kind": HEAD + "tests:\n  lacks: [b]\n",
    "block": HEAD
    + "tests:\n  shows:   # c\n    - 'In short: 1.'   # why\n    - |\n      In short: x.\n\n  lacks:\n  - b\n# end\n",
    "before other keys": HEAD.partition("# What it is worth")[0] + "tests:\n  lacks:\n    - b\n\nreward: {bonus: 0.1}\n",
    "the template": new_text("x"),
}


def lines_of(text):
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("shows", [True, False])
@pytest.mark.parametrize("form", [*FORMS, *shipped()])
def test_one_after_the_other_wherever_the_tests_are(form, shows):
    path = shipped().get(form, Path("x.yaml"))
    source = FORMS[form] if form in FORMS else path.read_text()
    made, before = source, loader.read_text(source, str(path))
    for text in TEXTS:
        made = with_test(made, text, shows, path)
    after = loader.read_text(made, str(path))
    added = [t.text for t in after.tests.all_texts if t not in before.tests.all_texts]
    assert sorted(added) == sorted(TEXTS) and all(t.shows is shows for t in after.tests.all_texts if t.text in TEXTS)
    assert after.model_dump(exclude={"tests"}) == before.model_dump(exclude={"tests"})
    lost = [line for line in lines_of(source) if line not in lines_of(made)]
    assert len(lost) <= 1 and all("tests" in line or "shows" in line or "lacks" in line for line in lost), lost


@pytest.mark.parametrize(
    ("text", "shows", "said"),
    [
        ("So \\boxed{36}.", True, "among the tests already, as one that lacks the behavior; change it there"),
        ("So \\boxed{36}.", False, "among the tests already, as one that lacks the behavior"),
        ("a\x07b", True, "cannot be written into the tests by itself"),
        ("x" * 20_001, True, "a test may have 20000"),
    ],
)
def test_what_cannot_be_added_says_why(text, shows, said):
    with pytest.raises(BehaviorError) as caught:
        with_test(new_text("x"), text, shows, Path("x.yaml"))
    assert said in str(caught.value)


def test_the_tests_of_a_file_that_is_extended_are_not_replaced(tmp_path):
    (tmp_path / "base.yaml").write_text(new_text("base"))
    source = "name: mine\nextends: base\nversion: 2\n"
    (tmp_path / "mine.yaml").write_text(source)
    try:
        made = with_test(source, "In short: x.", True, tmp_path / "mine.yaml")
    except BehaviorError as error:
        assert "Copy its tests into this file first" in str(error)
    else:
        assert len(loader.read_text(made, str(tmp_path / "mine.yaml")).tests.all_texts) == 11


def test_a_file_that_cannot_be_read_says_where():
    with pytest.raises(BehaviorError, match=r"x\.yaml:1:"):
        with_test("a: [", "t", True, Path("x.yaml"))
