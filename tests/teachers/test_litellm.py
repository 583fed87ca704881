"""The real litellm against a server on this machine. Skipped where litellm is not installed: ``make test-teachers``."""

import importlib.util

import pytest

from tests.support.fake_server import GOOD, KEY, Raw, Server
from thinklab.errors import ConfigError, TeacherError
from thinklab.teachers import load_teacher
from thinklab.teachers.base import check

# not imported here: the teacher first tells it not to download a price table
pytestmark = pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="needs litellm: make test-teachers")


def at(server, model="mistral/mistral-small-latest", **options):
    options = {"base_url": f"{server.url}/v1", "cache": False, "first_wait_s": 0.001, "timeout_s": 30.0, **options}
    return load_teacher("litellm", model=model, **options)


@pytest.mark.parametrize("model", ["mistral/mistral-small-latest", "together_ai/Qwen/Qwen3-32B", "deepseek/deepseek-chat"])
def test_a_model_of_any_service_replies_and_is_counted(model, ask, monkeypatch):
    monkeypatch.setenv("THEIRS", KEY)
    with Server() as server:
        teacher = at(server, model, key_env="THEIRS", temperature=0.2, headers={"X-Title": "t"})
        replies = teacher.reply(ask(3))
    assert [(r.text, r.error) for r in replies] == [(GOOD, "")] * 3
    body, headers = server.calls[0]["body"], server.calls[0]["headers"]
    assert body["model"] == model.partition("/")[2] and body["max_tokens"] == 64 and body["temperature"] == 0.2
    assert headers["x-title"] == "t" and teacher.used.input_tokens > 0 and len(server.calls) == 3


def test_the_services_own_key_is_not_sent_to_the_address_of_a_config(ask, monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", "mistral-key-of-my-own")
    with Server(key="") as server:
        at(server).reply(ask(1))
    assert "mistral-key-of-my-own" not in str(server.calls) and server.calls[0]["headers"]["authorization"] == "bearer none"


@pytest.mark.parametrize(
    ("action", "error", "calls"),
    [
        ("429", "", 2),
        ("500", "", 2),
        ("503", "", 2),
        ("400", "bad-request", 1),
        ("empty", "", 2),
        ("max-tokens", "max-tokens", 1),
        ("refusal", "refusal", 1),
        (Raw(400, {"error": {"message": "maximum context length is 4096 tokens"}}), "prompt-too-long", 1),
    ],
)
def test_each_fault_is_told_apart_as_with_the_sdks(action, error, calls, ask):
    with Server(lambda number, body: action if number == 0 else "ok", key="") as server:
        reply = at(server, "openai/some-model").reply(ask(1))[0]
    assert (reply.error, len(server.calls)) == (error, calls)


def test_a_wrong_key_ends_the_run_in_one_line_without_the_key(ask, monkeypatch):
    monkeypatch.setenv("THEIRS", "sk-wrong-key-000001")
    with Server() as server, pytest.raises(TeacherError, match="the key was rejected") as caught:
        at(server, key_env="THEIRS").reply(ask(1))
    assert "sk-wrong-key-000001" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_key_and_an_unknown_service_are_named_before_anything_is_sampled(monkeypatch):
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(TeacherError, match="set the environment variable GROQ_API_KEY"):
        check(load_teacher("litellm", model="groq/qwen/qwen3-32b", cache=False))
    with pytest.raises(ConfigError, match="litellm knows no service for the model 'my-model'"):
        load_teacher("litellm", model="my-model", cache=False)


def test_a_model_that_no_table_has_is_priced_by_litellms_own(ask):
    with Server(key="") as server:
        teacher = at(server, "mistral/mistral-small-latest", cap_usd=1)
        assert "prices of litellm 1." in str(teacher.estimate(ask(1))) and teacher.estimate(ask(1)).usd > 0
        teacher.reply(ask(1))
        assert teacher.totals()["usd"] > 0
        with pytest.raises(ConfigError, match="cap_usd cannot be enforced without a price"):
            at(server, "openai/no-such-model-at-all", cap_usd=1)


def test_thinking_that_litellm_takes_apart_is_counted(ask):
    message = {"role": "assistant", "content": GOOD, "reasoning_content": "x" * len(GOOD)}
    usage = {"prompt_tokens": 5, "completion_tokens": 200, "total_tokens": 205}
    sent = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    sent["choices"] = [{"index": 0, "finish_reason": "stop", "message": message}]
    with Server(lambda number, body: Raw(200, sent), key="") as server:
        reply = at(server, "deepseek/deepseek-reasoner").reply(ask(1))[0]
    assert (reply.text, reply.usage.thinking_tokens) == (GOOD, 100)
