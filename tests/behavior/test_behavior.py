"""Loading behaviors, and what a loaded one does."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from thinklab.behavior.behavior import list_behaviors, load_behavior
from thinklab.behavior.lint import lint, run_tests
from thinklab.config.shipped import resource_dir
from thinklab.errors import BehaviorError

GOOD = (resource_dir("behaviors") / "self-check.yaml").read_text(encoding="utf-8")
GOLDEN = Path(__file__).parent.parent / "golden" / "behaviors"
QUESTION = "A crate holds 24 pears and 7 are {{ bad }}. How many are {% good %}?"
ATTEMPT = "24-7=16 </reason> {# no #}\nSo \\boxed{16}."


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", list_behaviors())
def test_shipped_behaviors_pass_lint_and_their_own_tests(name):
    behavior = load_behavior(name)
    assert lint(behavior.path) == []
    assert [r for r in run_tests(behavior) if r.passed is not True] == []
    assert len(behavior.spec.tests.all_texts) >= 10
    assert {shot.verdict for shot in behavior.spec.teacher.few_shots} == {"correct", "incorrect"}


def test_the_shipped_ones():
    assert {
        "self-conflict",
        "self-critique",
        "self-agreement",
        "self-consultancy",
        "cognitive-mix",
        "thalapathy-vijay",
        "thalapathy-vijay-aside",
        "self-check",
    } < set(list_behaviors())
    assert len(list_behaviors()) >= 12


@pytest.mark.parametrize("name", list_behaviors())
def test_rendered_prompts_are_as_stored(name):
    """After a wanted change: python -m tests.behavior.test_behavior writes the stored prompts again."""
    assert rendered(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def rendered(name: str) -> str:
    messages = load_behavior(name).messages(QUESTION, ATTEMPT)
    return "\n".join(f"=== {m['role']}\n{m['content']}" for m in messages) + "\n"


def test_question_and_response_are_data():
    last = load_behavior("self-check").messages(QUESTION, ATTEMPT)[-1]
    assert last == {"role": "user", "content": f"Question:\n{QUESTION}\n\nResponse:\n{ATTEMPT}"}


def test_splice_of_the_demo():
    check = load_behavior("self-check")
    fields = {"reason": " I check: 12+7=19. 19+6=25. 25+5=30.\n", "phrase": "So \\boxed{30}."}
    assert check.separator + check.splice(fields) == " I check: 12+7=19. 19+6=25. 25+5=30. So \\boxed{30}."
    vijay = load_behavior("thalapathy-vijay")
    assert (
        vijay.splice({"reason": "well done", "phrase": "Thalapathy Vijay says: hit hard."}) == "Thalapathy Vijay says: hit hard."
    )
    with pytest.raises(KeyError):
        check.splice({"reason": "no phrase"})


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "empty"),
        ("I check: 1+1=2.", "boxed"),
        ("So \\boxed{2}.", "I check:"),
        ("I check: 1+1=2. So \\boxed{2}. Done.", "does not end with"),
        ("x" * 1201, "at most 1200"),
        ('So \\boxed{2}. As before, "I check: 1+1=2." So \\boxed{2}.', "does not find the behavior"),
    ],
)
def test_guidance_is_refused_with_a_reason(text, why):
    assert why in load_behavior("self-check").check_guidance(text, "So \\boxed{0}.")


def test_guidance_that_may_be_used():
    assert load_behavior("self-check").check_guidance("I check: 1+1=2. So \\boxed{2}.", "So \\boxed{0}.") == ""


def test_bonus_counts_exactly():
    vijay = load_behavior("thalapathy-vijay")
    line = " Thalapathy Vijay says: hit hard."
    assert vijay.bonus_for("So \\boxed{4}." + line) == 0.5
    assert vijay.bonus_for("So \\boxed{4}." + line + line) == 0.0
    assert vijay.bonus_for("So \\boxed{4}.") == 0.0
    check = load_behavior("self-check")
    text = "So \\boxed{31}. I check: 12+7=19. So \\boxed{19}."
    assert check.detect(text) and check.bonus_for(text) == 0.0


def test_reward_count_above_one(tmp_path):
    text = "extends: self-check\nname: mine\nreward: {bonus: 0.25, count: 2}\n"
    mine = load_behavior(write(tmp_path, text))
    once = "So \\boxed{31}. I check: 12+7=19. So \\boxed{19}."
    assert mine.bonus_for(once) == 0.0
    assert mine.bonus_for(once + " I check: 12+7=19. So \\boxed{19}.") == 0.25


def test_detection_explains_itself():
    found = load_behavior("self-check").detect("So \\boxed{31}. I check: 12+7=19. So \\boxed{19}.")
    assert found.spans == ((15, 23),) and "15-23" in found.why
    missed = load_behavior("self-check").detect("I check: 12+7=19. So \\boxed{19}.")
    assert not missed and "not between two boxed answers" in missed.why and missed.spans == ((0, 8),)


@pytest.mark.parametrize(
    "placement, text, shows",
    [
        ("end", "Yes. I check: it.", True),
        ("end", "I check: it. Yes.", False),
        ("before_answer", "I check: it. So \\boxed{1}.", True),
        ("before_answer", "So \\boxed{1}. I check: it.", False),
        ("before_answer", "I check: it.", False),
        ("anywhere", "So \\boxed{1}. I check: it. Yes.", True),
    ],
)
def test_placement(tmp_path, placement, text, shows):
    file = f"extends: self-check\nname: mine\nplacement: {placement}\ndetector: {{phrase: 'I check:'}}\n"
    assert bool(load_behavior(write(tmp_path, file)).detect(text)) is shows


def test_hash_is_the_content(tmp_path):
    shipped, copy = load_behavior("self-check"), load_behavior(write(tmp_path, GOOD, "copy.yaml"))
    assert copy.hash == shipped.hash and copy == shipped and hash(copy) == hash(shipped)
    commented = load_behavior(write(tmp_path, GOOD.replace("version: 1\n", "version: 1   # one\n")))
    assert commented.hash == shipped.hash
    for old, new in (("version: 1\n", "version: 2\n"), ("carries 14 cars", "carries 15 cars"), ("longest: 1200", "longest: 12")):
        changed = load_behavior(write(tmp_path, GOOD.replace(old, new)))
        assert changed.hash != shipped.hash and changed != shipped
    assert len(shipped.hash) == 12 and int(shipped.hash, 16)


def test_short_tests_are_tests(tmp_path):
    text = "name: mine\nextends: self-check\ntests:\n" + (
        "  shows: ['So \\boxed{1}. I check: it. So \\boxed{1}.', nothing]\n  lacks: [x]\n"
    )
    mine = load_behavior(write(tmp_path, text))
    assert [(r.passed, r.what[:6]) for r in run_tests(mine)][:3] == [(True, "text 1"), (False, "text 2"), (True, "text 3")]
    assert mine.hash != load_behavior(write(tmp_path, text.replace("[x]", "[other]"))).hash


def test_hash_sees_what_is_inherited(tmp_path):
    child = write(tmp_path, "extends: base\nname: mine\n")
    hashes = set()
    for text in (GOOD, GOOD.replace("14 cars", "15 cars")):
        write(tmp_path, text, "base.yaml")
        hashes.add(load_behavior(child).hash)
    assert len(hashes) == 2


def test_extends_replaces_lists_and_the_detector_and_keeps_the_rest(tmp_path):
    path = write(
        tmp_path,
        "name: mine\nextends: thalapathy-vijay\nreward: {bonus: 1}\n"
        "detector: {phrase: Vijay}\nguidance: {must_contain: [Vijay]}\n",
    )
    mine, base = load_behavior(path), load_behavior("thalapathy-vijay")
    assert (mine.name, mine.reward.bonus, mine.reward.count) == ("mine", 1.0, 1)
    assert mine.detect("Vijay says no.") and not base.detect("Vijay says no.")
    assert mine.spec.guidance.must_contain == ["Vijay"] and mine.spec.guidance.longest == base.spec.guidance.longest
    assert mine.spec.teacher == base.spec.teacher


def test_a_file_may_extend_the_shipped_one_of_its_own_name(tmp_path):
    path = write(tmp_path, "name: self-check\nextends: self-check\ntitle: Mine\n", "self-check.yaml")
    assert load_behavior(path).title == "Mine"


def test_same_as_is_the_other_detector(tmp_path):
    path = write(tmp_path, "name: mine\nextends: self-check\ndetector: {any: [{same_as: confidence}, {phrase: Ha}]}\n")
    mine = load_behavior(path)
    assert mine.detect("So \\boxed{1}. Confidence: 20%") and mine.detect("Ha") and not mine.detect("So \\boxed{1}.")


def test_bare_names_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GOOD.replace("name: self-check", "name: here"), "here.yaml")
    assert load_behavior("here.yaml").name == load_behavior("./here.yaml").name == load_behavior(Path("here.yaml")).name == "here"
    with pytest.raises(BehaviorError, match=r"no behavior 'here'.*load it as \./here\.yaml"):
        load_behavior("here")
    with pytest.raises(BehaviorError, match="did you mean 'self-check'"):
        load_behavior("self-chek")
    with pytest.raises(BehaviorError, match=r"nowhere\.yaml:1:1: cannot be read: No such file"):
        load_behavior("nowhere.yaml")
    with pytest.raises(BehaviorError, match="cannot be read"):
        load_behavior(tmp_path)


def test_repr_for_notebooks_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    text = GOOD.replace("title: Marks its own answer step by step", f"title: {evil}").replace("Mirela has", f"{evil} has")
    page = load_behavior(write(tmp_path, text))._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page and "few-shots" in page


def test_behaviors_travel_between_processes():
    behavior = load_behavior("thalapathy-vijay")
    text = "So \\boxed{4}. Thalapathy Vijay says: hit hard."
    assert behavior.detect(text)
    again = pickle.loads(pickle.dumps(behavior))
    assert again == behavior and again.hash == behavior.hash and again.detect(text)


if __name__ == "__main__":
    for each in list_behaviors():
        (GOLDEN / f"{each}.txt").write_text(rendered(each), encoding="utf-8")
