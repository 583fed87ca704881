"""Claude at three clouds: the SDK's own clients against a server on this machine."""

import importlib.util
import json

import pytest

from tests.support.fake_server import GOOD, KEY, Server
from thinklab.errors import ConfigError, TeacherError
from thinklab.teachers import load_teacher
from thinklab.teachers.base import check
from thinklab.teachers.secrets import HIDDEN, without_key

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
VARIABLES = ("REGION", "DEFAULT_REGION", "PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "BEARER_TOKEN_BEDROCK")
OTHERS = ("CLOUD_ML_REGION", "ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_APPLICATION_CREDENTIALS", "ANTHROPIC_FOUNDRY_RESOURCE")


def installed(name):
    return importlib.util.find_spec(name) is not None


@pytest.fixture(autouse=True)
def nobodys(monkeypatch, tmp_path):
    """No credentials of the person who runs the tests."""
    for name in (*(f"AWS_{v}" for v in VARIABLES), *OTHERS, "ANTHROPIC_FOUNDRY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("MINE", KEY)


def at(server, monkeypatch):
    for cloud in ("BEDROCK", "VERTEX", "FOUNDRY"):
        monkeypatch.setenv(f"ANTHROPIC_{cloud}_BASE_URL", server.url)


CLOUDS = {
    "bedrock": ({"model": HAIKU, "region": "us-east-1", "key_env": "MINE"}, f"/model/{HAIKU}/invoke"),
    "vertex": (
        {"model": "claude-haiku-4-5@20251001", "region": "global", "project": "mine-1", "key_env": "MINE"},
        "/projects/mine-1/locations/global/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict",
    ),
    "foundry": ({"model": "claude-haiku-4-5", "key_env": "MINE"}, "/v1/messages"),
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_cloud_is_asked_in_its_own_way_and_priced(cloud, monkeypatch, ask):
    options, path = CLOUDS[cloud]
    with Server() as server:
        at(server, monkeypatch)
        teacher = load_teacher(cloud, cap_usd=1, cache=False, **options)
        check(teacher)
        replies = teacher.reply(ask(3))
    assert [r.text for r in replies] == [GOOD] * 3 and teacher.name == cloud
    assert {call["path"] for call in server.calls} == {path}
    rates = (1.1, 5.5) if cloud == "bedrock" else (1.0, 5.0)  # a region of Bedrock's costs ten percent more
    used = teacher.used
    assert teacher.totals()["usd"] == pytest.approx((used.input_tokens * rates[0] + used.output_tokens * rates[1]) / 1e6)
    assert KEY not in repr(teacher.backend) + json.dumps(teacher.backend.settings)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_effort_thinking_and_schema_reach_a_cloud_and_a_key_in_a_reply_is_hidden(cloud, monkeypatch, ask):
    options, _ = CLOUDS[cloud]
    with Server(text=lambda body: f"{GOOD} {KEY}") as server:
        at(server, monkeypatch)
        more = {"effort": "low", "thinking": "disabled", "extra_body": {"metadata": {"user_id": "u"}}}
        reply = load_teacher(cloud, cache=False, **options, **more).reply(ask(1))[0]
    body = server.calls[0]["body"]
    assert (body["thinking"], body["output_config"]) == ({"type": "disabled"}, {"effort": "low"})
    assert body["metadata"] == {"user_id": "u"} and reply.text == f"{GOOD} {HIDDEN}"


@pytest.mark.parametrize(
    ("cloud", "options", "said"),
    [
        ("bedrock", {"region": "evil.test/x"}, "'evil.test/x' is no region"),
        ("bedrock", {"temperature": 1.0}, "has no option 'temperature'"),
        ("vertex", {"project": "a/../../b", "region": "global"}, "is no project"),
        ("vertex", {"region": "x#y"}, "is no region"),
        ("vertex", {"project": "p"}, "CLOUD_ML_REGION"),
        ("vertex", {"region": "global"}, "ANTHROPIC_VERTEX_PROJECT_ID"),
        ("foundry", {"resource": "evil.test/"}, "is no resource"),
        ("foundry", {}, "ANTHROPIC_FOUNDRY_RESOURCE"),
    ],
)
def test_a_config_cannot_name_another_host_and_what_is_missing_is_named(cloud, options, said):
    with pytest.raises(ConfigError) as caught:
        load_teacher(cloud, model="claude-haiku-4-5", key_env="MINE", cache=False, **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_bedrock_without_a_region_says_so():
    if not installed("boto3"):
        with pytest.raises(ConfigError, match="set the option region, or AWS_REGION"):
            load_teacher("bedrock", model=HAIKU, key_env="MINE", cache=False)


def test_the_foundry_key_goes_to_ones_own_resource_only(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_API_KEY", KEY)
    with pytest.raises(ConfigError, match="ANTHROPIC_FOUNDRY_API_KEY is not sent to the resource 'theirs'"):
        load_teacher("foundry", model="m", resource="theirs", cache=False)
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_RESOURCE", "mine")
    found = load_teacher("foundry", model="m", resource="mine", cache=False)
    assert found.backend.settings["url"] == "https://mine.services.ai.azure.com/anthropic/"
    monkeypatch.setenv("THEIRS", "sk-theirs-00001")
    there = load_teacher("foundry", model="m", resource="theirs", key_env="THEIRS", cache=False)
    assert "theirs" in there.backend.settings["url"] and there.backend.secret.reveal() == "sk-theirs-00001"


def test_an_estimate_needs_no_credentials_and_no_package(ask):
    with without_key():
        for cloud, more in (
            ("bedrock", {"region": "us-east-1"}),
            ("vertex", {"region": "global"}),
            ("foundry", {"resource": "r"}),
        ):
            name = HAIKU if cloud == "bedrock" else "claude-haiku-4-5"
            key = {"key_env": "UNSET"} if cloud == "foundry" else {}
            assert load_teacher(cloud, model=name, cache=False, **more, **key).estimate(ask(5)).usd > 0


@pytest.mark.parametrize(("cloud", "package"), [("bedrock", "boto3"), ("vertex", "google.auth")])
def test_credentials_that_are_not_there_are_missed_before_anything_is_sampled(cloud, package, ask):
    more = {"region": "us-east-1"} if cloud == "bedrock" else {"region": "global", "project": "p"}
    if not (installed(package.split(".")[0]) and installed(package)):
        with pytest.raises(TeacherError, match=rf"pip install 'thinklab\[{cloud}\]'"):
            load_teacher(cloud, model="m", cache=False, **more)
        return
    with pytest.raises(TeacherError, match=r"credentials were found|credentials cannot be read"):
        check(load_teacher(cloud, model="m", cache=False, **more))


@pytest.mark.skipif(not installed("boto3"), reason="needs boto3: make test-teachers")
def test_bedrock_signs_its_requests_with_the_credentials_of_the_environment(monkeypatch, ask):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA" + "A" * 16)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret" * 6)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token-0123")
    with Server(key="", text=lambda body: f"{GOOD} session-token-0123") as server:
        at(server, monkeypatch)
        teacher = load_teacher("bedrock", model=HAIKU, region="us-east-1", cache=False)
        check(teacher)
        reply = teacher.reply(ask(1))[0]
    signed = server.calls[0]["headers"]["authorization"]
    assert signed.startswith("aws4-hmac-sha256 credential=akia") and "/us-east-1/bedrock/aws4_request" in signed
    assert reply.text == f"{GOOD} {HIDDEN}"


@pytest.mark.skipif(installed("litellm"), reason="litellm is installed")
def test_litellm_without_its_package_says_what_to_install():
    with pytest.raises(TeacherError, match=r"pip install 'thinklab\[litellm\]'"):
        load_teacher("litellm", model="mistral/mistral-small-latest", cache=False)
