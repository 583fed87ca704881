import pytest

from thinklab.config import load_config
from thinklab.config.sentence import filled, placeholders
from thinklab.errors import ConfigError

HEAD = "name: x\nstudent: embedded\ntask: {name: sums, terms: [2]}\nbehaviors: [self-check]\nteacher:\n  backend: scripted\n  phrase: "
KNOWN = ("gold", "answer")


def test_placeholders_are_found_and_filled_once_and_what_they_hold_is_not_read_again():
    assert placeholders("{gold} and {{gold}} and {gold}", KNOWN) == ["gold"]
    assert filled(r"So \boxed{{{gold}}} ({answer})", {"gold": "{answer}", "answer": "7"}) == r"So \boxed{{answer}} (7)"


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        (
            '"Arr: {glod}."',
            "c.yaml:7:3: teacher: phrase: unknown placeholder {glod} (did you mean 'gold'?); there are {question}, {gold}",
        ),
        ('"Arr: {}."', "c.yaml:7:3: teacher: phrase: unknown placeholder {}"),
        ('"Arr: {gold.imag}."', "c.yaml:7:3: teacher: phrase: unknown placeholder {gold.imag}"),
        ('"Arr: {0}."', "c.yaml:7:3: teacher: phrase: unknown placeholder {0}"),
        ('"Arr: {gold."', "c.yaml:7:3: teacher: phrase: unbalanced braces in"),
        ('"Arr: gold}."', "c.yaml:7:3: teacher: phrase: unbalanced braces in"),
        ('"Arr: {gold:>9}."', "{gold} takes no format after its name"),
        ('"Arr: {gold!r}."', "{gold} takes no format after its name"),
        ('"Arr: {gold:{answer}}."', "{gold} takes no format after its name"),
        ('" "', "c.yaml:7:3: teacher: phrase is empty"),
        ("7", "c.yaml:7:3: teacher: phrase must be a sentence, not 7"),
        ('"Arr."\n  reason: "{glod}"', "c.yaml:8:3: teacher: reason: unknown placeholder {glod}"),
        ("Arr: {gold}.", "c.yaml:7:14: not valid YAML"),
        ("{gold} arr", "one that begins with a brace or bracket is quoted"),
    ],
)
def test_a_sentence_that_cannot_be_used_is_one_error_with_file_and_line(tmp_path, phrase, said):
    file = tmp_path / "c.yaml"
    file.write_text(HEAD + phrase + "\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_override_is_named_as_it_was_written_and_other_backends_keep_their_options(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(HEAD + '"Arr: {gold}."\n')
    assert load_config(file).teacher.options == {"phrase": "Arr: {gold}."}
    with pytest.raises(ConfigError, match=r"^override .teacher\.phrase='Arr \{golden\}'.: teacher: phrase: unknown placeholder"):
        load_config(file, ["teacher.phrase='Arr {golden}'"])
    assert load_config(file, ["teacher={backend: parrot, phrase: '{whatever}'}"]).teacher.options == {"phrase": "{whatever}"}
