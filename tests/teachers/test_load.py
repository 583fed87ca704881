import subprocess
import sys

import pytest

from thinklab.errors import ConfigError, TeacherError
from thinklab.teachers import BUILT_IN, Teacher, load_teacher, teacher_names


@pytest.mark.parametrize(
    ("backend", "options", "said"),
    [
        ("scriptd", {}, "did you mean 'scripted'"),
        ("scripted", {"rule": "sum-check"}, "did you mean 'sums-check'"),
        ("scripted", {"rule": "sums-check", "wrongshare": 1}, "did you mean 'wrong_share'"),
        ("scripted", {}, "either a rule"),
        ("scripted", {"rule": "no.such.module:f"}, "cannot be imported"),
        ("replay", {}, "also needs run"),
        ("openai", {}, "also needs model"),
        ("self", {}, "so it needs a student"),
        ("self", {"student": 1, "row": 1}, "did you mean 'rows'"),
        ("anthropic", {"concurency": 3}, "did you mean 'concurrency'"),
        ("anthropic", {"concurrency": 0}, "concurrency"),
        ("anthropic", {"timeout_s": "soon"}, "timeout_s"),
        ("anthropic", {"thinking": "hard"}, "one of auto"),
        ("anthropic", {"model": "claude-unheard-of", "cap_usd": 1}, "cannot be enforced without a price"),
        ("anthropic", {"price": {"input": 1, "ouput": 2}}, "did you mean 'output'"),
        ("local", {"model": "x", "bits": 8}, "16 (as stored) or 4"),
    ],
)
def test_a_wrong_name_or_option_says_what_is_right(backend, options, said):
    with pytest.raises(ConfigError) as caught:
        load_teacher(backend, **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["api_key", "key", "auth_token", "secret"])
def test_a_key_is_refused_as_an_option_and_not_repeated(name):
    for backend in ("anthropic", "openai"):
        with pytest.raises(ConfigError) as caught:
            load_teacher(backend, **{name: "sk-ant-secret123456", "model": "m"})
        assert "environment variable" in str(caught.value) and "secret123456" not in str(caught.value)


def test_a_student_is_handed_to_those_who_take_one(ask):
    teacher = load_teacher("scripted", student=object(), rule="hit-hard")
    assert teacher.reply(ask(1))[0].text


def test_backends_are_imported_only_when_asked_for():
    code = (
        "import sys, thinklab.teachers as t; t.load_teacher('scripted', rule='hit-hard'); "
        "print([m for m in ('anthropic', 'openai', 'torch', 'transformers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_entry_point_adds_a_teacher_and_cannot_replace_one(tmp_path, monkeypatch, ask):
    (tmp_path / "parrot.py").write_text(
        "from thinklab.teachers import TeacherReply\n"
        "class Parrot:\n"
        "    name = 'parrot'\n"
        "    def __init__(self, word='hello'): self.word = word\n"
        "    def reply(self, requests): return [TeacherReply(r.id, self.word) for r in requests]\n"
    )
    info = tmp_path / "parrot-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[thinklab.teachers]\nparrot = parrot:Parrot\nscripted = parrot:Parrot\nbroken = parrot_missing:X\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert teacher_names() == [*BUILT_IN, "parrot", "broken"]
    teacher = load_teacher("parrot", word="hi")
    assert isinstance(teacher, Teacher) and teacher.reply(ask(1))[0].text == "hi"
    assert type(load_teacher("scripted", rule="hit-hard")).__module__ == "thinklab.teachers.scripted"
    with pytest.raises(TeacherError, match="cannot be loaded"):
        load_teacher("broken")
    with pytest.raises(ConfigError, match="did you mean 'word'"):
        load_teacher("parrot", words=1)
