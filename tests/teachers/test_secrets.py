import copy
import io
import json
import logging
import pickle
import subprocess
import sys
import traceback
import types

import pytest
from rich.console import Console

from tests.support.fake_server import ACTIONS, KEY, Server
from tests.teachers.test_faults import remote
from thinklab.errors import TeacherError
from thinklab.teachers import secrets
from thinklab.teachers.secrets import Secret, find_key
from thinklab.types import to_json


def test_the_key_shows_up_nowhere_after_a_run_that_fails_in_every_way(tmp_path, ask, capfd, monkeypatch):
    """Logs at DEBUG, records, totals, cache, reprs, errors, tracebacks with locals: none may hold the key."""
    monkeypatch.setenv("OTHER_KEY", KEY)
    log = logging.FileHandler(tmp_path / "debug.log")
    root = logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    try:
        for kind in ("anthropic", "openai"):
            more = {"key_env": "OTHER_KEY"} if kind == "openai" else {}
            with Server(lambda number, body: ACTIONS[number % len(ACTIONS)], text=lambda body: f"your key is {KEY}") as server:
                teacher = remote(
                    kind,
                    server,
                    attempts=2,
                    timeout_s=1.0,
                    cache=str(tmp_path / f"{kind}.sqlite"),
                    concurrency=1,
                    **more,
                )
                for k in range(2 * len(ACTIONS)):
                    try:
                        replies = teacher.reply(ask(1, start=k))
                        written = json.dumps([to_json(r) for r in replies])
                    except TeacherError as error:
                        written = _shown(error)
                    with (tmp_path / "run.jsonl").open("a") as file:
                        file.write(f"{written}\n{teacher!r} {teacher.backend!r} {teacher.summary()} {teacher.totals()}\n")
                assert set(server.done) == set(ACTIONS)
    finally:
        root.removeHandler(log)
        root.setLevel(level)
        log.close()
    assert (tmp_path / "debug.log").stat().st_size > 1000 and "your key is [key hidden]" in (tmp_path / "run.jsonl").read_text()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), f"the key is in {path.name}"
    shown = capfd.readouterr()
    assert KEY not in shown.out + shown.err


def _shown(error: BaseException) -> str:
    """The error as every kind of traceback shows it."""
    page = io.StringIO()
    try:
        raise error
    except TeacherError:
        Console(file=page, width=200).print_exception(show_locals=True)
    plain = traceback.TracebackException.from_exception(error, capture_locals=True)
    return f"{error} {error!r} {error.args} {page.getvalue()} {''.join(plain.format())}"


def test_a_secret_shows_itself_to_nobody():
    secret = Secret("abc-123-xyz")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>20}", repr({"k": secret}), str(dir(secret))):
        assert "abc" not in shown
    for leak in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as caught:
            leak(secret)
        assert "abc" not in str(caught.value)
    assert secret.reveal() == "abc-123-xyz" and not hasattr(secret, "__dict__")
    assert "abc" not in secret.redact("bad abc-123-xyz and sk-other-key-00000001") and "00001" not in secret.redact(
        "sk-key-00000001"
    )


def test_where_a_key_is_looked_for(monkeypatch):
    monkeypatch.setattr(secrets, "_somebody_there", lambda: False)
    monkeypatch.setenv("A_KEY", " from-env\n")
    assert find_key(["B_KEY", "A_KEY"], "S").reveal() == "from-env"
    monkeypatch.delenv("A_KEY")
    with pytest.raises(TeacherError, match="set the environment variable A_KEY"):
        find_key(["A_KEY"], "S")
    assert not find_key(["A_KEY"], "S", required=False)

    def get(name):
        if name != "A_KEY":
            raise KeyError(name)  # Colab has exceptions of its own for this
        return "from-colab"

    colab = types.SimpleNamespace(userdata=types.SimpleNamespace(get=get))
    monkeypatch.setitem(sys.modules, "google", types.SimpleNamespace(colab=colab))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert find_key(["B_KEY", "A_KEY"], "S").reveal() == "from-colab"
    monkeypatch.delitem(sys.modules, "google.colab")
    monkeypatch.setattr(secrets, "_somebody_there", lambda: True)
    monkeypatch.setattr(secrets.getpass, "getpass", lambda prompt: "typed" if "S key" in prompt else "")
    assert find_key(["A_KEY"], "S").reveal() == "typed"


@pytest.mark.parametrize("bad", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_can_carry(bad, monkeypatch):
    monkeypatch.setenv("A_KEY", bad)
    with pytest.raises(TeacherError, match="copy it again") as caught:
        find_key(["A_KEY"], "S")
    assert bad not in str(caught.value)


def test_nobody_is_asked_where_nobody_sits():
    code = "from thinklab.teachers.secrets import find_key\nfind_key(['NO_SUCH_KEY'], 'S')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert "no key for S" in run.stderr
