"""Objects from other people's code: a misspelled or misshapen name is an error when they are loaded, and a good one passes."""

from __future__ import annotations

import pytest

from thinklab import Task, load_behavior, load_student, load_task, load_teacher, stage2
from thinklab.behavior.detector_spec import PythonSpec
from thinklab.behavior.detectors import build as build_detector
from thinklab.config.experiment import Experiment
from thinklab.config.ready_made import ReadyMade
from thinklab.errors import BehaviorError, ConfigError, StudentError, TaskError, TeacherError
from thinklab.experiment.build import build
from thinklab.guide.guide import Guide
from thinklab.interop.plugins import check_shape, names
from thinklab.lab.settings import experiment
from thinklab.students import Student
from thinklab.tasks.base import check as check_task
from thinklab.teachers import protocols
from thinklab.teachers.base import cap_reached, restore, settle, should_stop
from thinklab.teachers.protocols import check_teacher

PARTS = """
from thinklab import Task
from thinklab.students import Student, load_student

class Fine:
    name = "fine"
    def reply(self, requests): return []
    def waiting(self): return []

class Odd(Fine):
    def estimte(self, requests, calls=None): return None

def task(): return Task("odd", "", lambda: [], lambda response, example: True)

class Mine(Student):
    def encode(self): return []

def student(section, seed):
    known = load_student("embedded", lora=None)
    return Mine(known.model, known.tokenizer, section.kind, "odd")

def pair(section, seed): return 1, 2

def detector(): return lambda: True
"""


class Teacher:
    name = "parrot"

    def reply(self, requests):
        return []


async def later(self, requests):
    return []


def text(self):
    return ""


def teacher(**members):
    return type("Parrot", (Teacher,), members)()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"estimte": lambda self, requests, calls=None: None}, r"has 'estimte'.*did you mean 'estimate'\? Rename it"),
        ({"summry": text}, "did you mean 'summary'"),
        ({"shouldStop": property(text), "cap_reached": property(text)}, "did you mean 'should_stop'"),
        ({"chekc": text}, "did you mean 'check'"),
        ({"estimate": lambda self, requests: None}, r"cannot be called as estimate\(requests, calls\)"),
        ({"estimate": lambda self, requests, calls: None}, r"as estimate\(requests\): missing a required argument: 'calls'"),
        ({"settle": lambda self, seconds: None}, r"as settle\(\): missing a required argument: 'seconds'"),
        ({"reply": lambda self: []}, r"cannot be called as reply\(requests\)"),
        ({"reply": later}, "'reply' is async"),
        ({"summary": property(text)}, "'summary' is a property; it must be a method"),
        ({"summary": "no cost"}, "'summary' is 'no cost'; it must be a method"),
        ({"cap_reached": text, "should_stop": property(text)}, "'cap_reached' is a method; it must be a value"),
        ({"should_stop": property(text)}, "'should_stop' but no 'cap_reached': HasCaps needs"),
        ({"totals": lambda self: {}}, "'totals' but no 'restore': KeepsAccount needs"),
        ({"name": 7}, "'name' is 7; it must be a text"),
    ],
)
def test_a_misspelled_or_misshapen_part_of_a_teacher_is_named(members, said):
    with pytest.raises(TeacherError, match=said) as caught:
        check_teacher(teacher(**members), "the teacher 'parrot'")
    assert str(caught.value).startswith("the teacher 'parrot' (") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (type("Mute", (), {"name": "mute"})(), r"has no reply\(requests\), which is required"),
        (type("Mute", (), {"name": "mute", "repyl": later})(), "has 'repyl'.*did you mean 'reply'"),
        (type("Mute", (), {"reply": Teacher.reply})(), "has no 'name'"),
        (Teacher, r"is the class Teacher, not an object: call it, Teacher\(...\)"),
        (7, "has no 'name'"),
    ],
)
def test_what_is_no_teacher_is_refused(thing, said):
    with pytest.raises(TeacherError, match=said):
        check_teacher(thing, "teacher=")


def test_a_teacher_may_have_names_of_its_own_and_more_parameters():
    extra = {"waiting": text, "replay": text, "_estimte": text, "checks": [], "settle": lambda self, at_most_s=2.0: None}
    check_teacher(teacher(**extra, estimate=lambda self, *anything: None), "teacher=")


def test_a_property_is_not_computed_by_the_check():
    def fail(self):
        raise AssertionError("computed")

    check_teacher(teacher(cap_reached=property(text), should_stop=property(text)), "teacher=")
    with pytest.raises(TeacherError, match="'check' is a property"):
        check_teacher(teacher(check=property(fail)), "teacher=")


@pytest.mark.parametrize("backend", ["scripted", "human", "openai"])
def test_the_built_in_teachers_are_made_as_declared(backend, tmp_path):
    options = {
        "scripted": {"rule": "hit-hard"},
        "human": {"folder": tmp_path},
        "openai": {"model": "m", "base_url": "http://localhost:9/v1"},
    }
    made = load_teacher(backend, **options[backend])
    check_teacher(made, backend)
    offers = {p for p in protocols.OPTIONAL if isinstance(made, p)}
    assert backend != "openai" or offers == set(protocols.OPTIONAL)
    assert backend != "scripted" or not offers


def test_a_teacher_without_an_offer_is_asked_for_nothing():
    plain, seen = teacher(), []
    restore(plain, {"spent": 1})
    settle(plain)
    assert cap_reached(plain) == should_stop(plain) == cap_reached(None) == should_stop(None) == ""
    paid = teacher(
        totals=lambda self: {},
        restore=lambda self, totals: seen.append(totals),
        settle=lambda self: seen.append("settled"),
        cap_reached=property(lambda self: "the cap"),
        should_stop=property(lambda self: "stop"),
    )
    restore(paid, {"spent": 1})
    settle(paid)
    assert seen == [{"spent": 1}, "settled"] and (cap_reached(paid), should_stop(paid)) == ("the cap", "stop")


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "odd_parts.py").write_text(PARTS)
    info = tmp_path / "odd_parts-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-parts\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[thinklab.teachers]\nodd = odd_parts:Odd\nfine = odd_parts:Fine\n[thinklab.tasks]\nodd = odd_parts:task\n"
        "[thinklab.students]\nodd = odd_parts:student\npair = odd_parts:pair\ngone = odd_parts:gone\n"
        "[thinklab.detectors]\nodd = odd_parts:detector\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_parts_of_a_package_are_checked_when_they_are_loaded(package):
    assert load_teacher("fine").name == "fine"
    with pytest.raises(TeacherError, match=r"the teacher 'odd' \(odd_parts.Odd\) has 'estimte'"):
        load_teacher("odd")
    with pytest.raises(TaskError, match=r"the task 'odd': load\(\) cannot be called as load\(split\)"):
        load_task("odd")
    with pytest.raises(StudentError, match=r"the student 'odd' .*: encode\(\) cannot be called as encode\(messages\)"):
        load_student("odd")
    with pytest.raises(StudentError, match="the student 'pair' is tuple, not a Student"):
        load_student("pair")
    with pytest.raises(StudentError, match=r"the student 'gone' \(odd_parts:gone\) cannot be loaded"):
        load_student("gone")
    with pytest.raises(BehaviorError, match=r"the detector 'odd'.* cannot be called as the detector\(text\)"):
        build_detector(PythonSpec(python="odd"))


class Dead(Task):
    def verify_frist(self, response, example):
        return True


READY = [
    ("task", Dead("dead", "", lambda split: [], lambda response, example: True), TaskError, "did you mean 'verify_first'"),
    ("task", Task("short", "", lambda split: [], lambda response: True), TaskError, r"as verify\(response, example\)"),
    ("task", object(), TaskError, "task= is object, which is not a Task"),
    ("teacher", object(), TeacherError, "teacher= .*has no 'name'"),
    ("teacher", teacher(chekc=text), TeacherError, "did you mean 'check'"),
    ("judge", teacher(totlas=text), TeacherError, "judge= .*did you mean 'totals'"),
    ("student", object(), StudentError, "student= is object, not a Student"),
]


@pytest.mark.parametrize(("name", "part", "error", "said"), READY)
def test_ready_made_parts_are_checked_before_anything_is_built(name, part, error, said, tmp_path):
    with pytest.raises(error, match=said):  # what Lab(...) reads first
        experiment(None, [], None, {name: part}, None)
    with pytest.raises(error, match=said):
        build(
            Experiment.model_validate({"name": "x", "behaviors": ["self-check"]}),
            tmp_path / "run",
            parts=ReadyMade(**{name: part}),
        )
    assert not (tmp_path / "run").exists()


def test_the_declared_names_of_a_student_and_of_a_task_are_those_of_their_classes():
    assert {"model", "tokenizer", "kind", "source", "sampler", "encode", "decode", "answer"} <= {n for n, _ in names(Student)}
    task = load_task("sums")
    assert check_task(task, "task=") is task


def test_a_guide_of_ones_own_is_checked_and_a_function_is_enough():
    def check(guide):
        check_shape(guide, "the guide", ConfigError, stage2.Guides, stage2.OPTIONAL)

    class Mine:
        def __call__(self, rollouts, step, generation):
            return rollouts

    check(Mine())
    check(lambda rollouts, step, generation: rollouts)
    for name, member, said in (
        ("begim", text, "did you mean 'begin'"),
        ("gamma", 0.5, "'gamma' is 0.5; it must be a method"),
        ("failed", text, "'failed' is a method; it must be a value"),
        ("__call__", lambda self, rollouts: rollouts, r"cannot be called as guide\(rollouts, step, generation\)"),
    ):
        with pytest.raises(ConfigError, match=said):
            check(type("Odd", (Mine,), {name: member})())
    with pytest.raises(ConfigError, match=r"has no guide\(rollouts, step, generation\)"):
        check(7)


def test_the_guide_of_thinklab_offers_all_that_the_trainer_may_find():
    guide = Guide(teacher(), [(load_behavior("self-check"), 1.0)], tokenizer=None)
    assert isinstance(guide, stage2.Guides) and all(isinstance(guide, offer) for offer in stage2.OPTIONAL)
    with pytest.raises(TeacherError, match="did you mean 'check'"):
        Guide(teacher(chekc=text), [], tokenizer=None)
