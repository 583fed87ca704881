"""Where a key may go, and what is said about an address that cannot be."""

import subprocess
import sys

import pytest

from tests.support.fake_server import KEY, Server
from tests.teachers.test_faults import remote
from thinklab.errors import ConfigError, TeacherError
from thinklab.teachers import load_teacher
from thinklab.teachers.base import check


@pytest.mark.parametrize("url", ["http://me:sk-secret-000@host/v1", "https://host/v1?key=sk-secret-000"])
@pytest.mark.parametrize("kind", ["anthropic", "openai"])
def test_a_key_in_an_address_is_refused_and_not_repeated(kind, url):
    with pytest.raises(ConfigError, match="never put a key into a config") as caught:
        load_teacher(kind, model="m", base_url=url, cache=False)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://host:99999/v1"])
def test_what_is_no_address_is_named(url):
    with pytest.raises(ConfigError, match="must be an address such as"):
        load_teacher("openai", model="m", base_url=url, cache=False)


def test_a_config_cannot_send_the_anthropic_key_to_a_stranger(monkeypatch):
    with pytest.raises(ConfigError, match=r"is not sent to https://example\.test"):
        load_teacher("anthropic", base_url="https://example.test", cache=False)
    monkeypatch.setenv("THEIR_KEY", "sk-theirs-00001")
    there = load_teacher("anthropic", base_url="https://example.test", key_env="THEIR_KEY", cache=False)
    assert there.backend.secret.reveal() == "sk-theirs-00001"
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://example.test")  # the person's own environment
    assert load_teacher("anthropic", cache=False).backend.secret.reveal() == KEY


def test_openai_goes_where_the_environment_says_with_the_key_that_is_there(monkeypatch, ask):
    with Server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
        with pytest.raises(TeacherError, match="requires a key and none was sent"):
            check(load_teacher("openai", model="m", cache=False))
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        teacher = load_teacher("openai", model="m", cache=False)
        check(teacher)
        assert not teacher.reply(ask(1))[0].error and teacher.backend.settings["url"] == server.url + "/v1"


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
def test_a_page_in_place_of_the_service_is_found_before_a_run(kind, ask):
    with Server(lambda number, body: "not-json", key="") as server:
        server.page_for_models = True
        with pytest.raises(TeacherError, match="sign-in page"):
            check(remote(kind, server, attempts=1))
        assert "sign-in page" in remote(kind, server, attempts=1).reply(ask(1))[0].detail


def test_a_host_that_does_not_exist_is_named():
    with pytest.raises(TeacherError, match=r"connection to no-such-host\.invalid failed"):
        check(load_teacher("openai", model="m", base_url="http://no-such-host.invalid/v1", attempts=1, cache=False))


@pytest.mark.parametrize("name, extra", [("openai", "openai"), ("anthropic", "teachers"), ("bedrock", "bedrock")])
def test_without_its_package_there_is_one_line(name, extra):
    package = "openai" if name == "openai" else "anthropic"
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from thinklab.teachers import load_teacher\n"
        f"try: load_teacher({name!r}, model='m')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == f"TeacherError the teacher {name!r} needs the package {package}: pip install 'thinklab[{extra}]'\n"
