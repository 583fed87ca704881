"""The real SDKs against a server on this machine that has each oddity of a real one, and the option that copes with it."""

import json
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.fake_server import GOOD, KEY, Raw, Server
from tests.teachers.test_faults import remote
from thinklab import load_behavior
from thinklab.behavior.judge import Judge, verdict
from thinklab.config.load import load_config
from thinklab.errors import ConfigError, TeacherError
from thinklab.guide.guide import as_guidance, parse_reply, request_for
from thinklab.teachers import load_teacher, teacher_names
from thinklab.teachers.openai import HINTS
from thinklab.teachers.presets import PRESETS
from thinklab.types import Example

ANSWER = {"opinion": "incorrect", "reason": "I check: 12+7=19.", "phrase": "So \\boxed{19}."}


def rejects(*names, needs=(), query=""):
    """A server that answers 400, in OpenAI's words, to a body with one of ``names`` or without one of ``needs``."""

    def script(number, body):
        server = script.server
        for name in names:
            if name in body:
                said = f"Unsupported parameter: '{name}' is not supported with this model."
                return Raw(
                    400, {"error": {"message": said, "type": "invalid_request_error", "param": name, "code": "unsupported"}}
                )
        for name in needs:
            if name not in body:
                return Raw(400, {"error": {"message": f"Missing required parameter: '{name}'.", "code": None}})
        if query and query not in server.now["path"]:
            return Raw(400, {"error": {"code": "BadRequest", "message": "Missing required query parameter: api-version"}})
        return "ok"

    return script


@contextmanager
def odd(script, key=""):
    with Server(script, key=key) as server:
        script.server = server
        yield server


def body_of(server, k=-1):
    return server.calls[k]["body"]


def test_a_model_that_takes_no_temperature_and_calls_the_limit_by_its_new_name(ask):
    with odd(rejects("temperature", "max_tokens", needs=["max_completion_tokens"])) as server:
        reply = remote("openai", server, temperature="omit", max_tokens_as="max_completion_tokens").reply(ask(1))[0]
        assert reply.text == GOOD and body_of(server)["max_completion_tokens"] == 64
        with pytest.raises(TeacherError, match="temperature: omit"):  # what to change is in the line
            remote("openai", server, attempts=1).reply(ask(3))
        with pytest.raises(TeacherError, match="max_tokens_as"):
            remote("openai", server, temperature="omit", attempts=1).reply(ask(3))


def test_top_p_effort_body_and_headers_arrive_as_written(ask):
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "min_p": 0.1}
    with Server(key="") as server:
        more = {"reasoning_effort": "low", "top_p": 0.9, "temperature": 0.6, "extra_body": extra}
        remote("openai", server, **more, headers={"X-Title": "thinklab", "HTTP-Referer": "http://x"}).reply(ask(1))
        body, headers = body_of(server), server.calls[0]["headers"]
        plain = remote("openai", server)
        plain.reply(ask(1))
    assert (body["reasoning_effort"], body["top_p"], body["temperature"], body["min_p"]) == ("low", 0.9, 0.6, 0.1)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert headers["x-title"] == "thinklab" and headers["http-referer"] == "http://x"
    assert set(body_of(server)) == {"model", "messages", "max_tokens", "temperature"}
    assert set(plain.backend.settings) == {"url", "model", "extra"}  # so that earlier cached replies are found


def test_every_option_of_the_wire_is_in_the_key_of_the_cache(ask, tmp_path):
    variants = [
        {},
        {"top_p": 0.9},
        {"temperature": "omit"},
        {"reasoning_effort": "low"},
        {"extra_body": {"seed": 1}},
        {"headers": {"x-a": "1"}},
        {"query": {"v": "1"}},
        {"structured": True},
    ]
    with Server(key="") as server:
        for options in (*variants, *variants):
            remote("openai", server, cache=str(tmp_path / "c.sqlite"), **options).reply(ask(1))
        assert len(server.calls) == len(variants)


def test_azure_wants_its_version_in_the_query_and_its_key_in_a_header_of_its_own(ask, monkeypatch):
    monkeypatch.setenv("AZURE", KEY)
    with odd(rejects("temperature", "max_tokens", query="api-version=2025-04-01-preview"), key="") as server:
        url = f"{server.url}/openai/deployments/mine"
        options = {"model": "gpt", "base_url": url, "key_env": "AZURE", "cache": False, "first_wait_s": 0.001}
        with pytest.raises(ConfigError, match=r"query: \{api-version"):
            load_teacher("azure", **options)
        reply = load_teacher("azure", query={"api-version": "2025-04-01-preview"}, **options).reply(ask(1))[0]
        assert reply.text == GOOD, reply.detail
        call = server.calls[-1]
        assert call["path"] == "/openai/deployments/mine/chat/completions?api-version=2025-04-01-preview"
        assert call["headers"]["api-key"] == KEY.lower() and "authorization" not in call["headers"]
        with pytest.raises(TeacherError, match=r"query: \{api-version"):
            load_teacher("azure", query={"api-version": "2024-10-21"}, attempts=1, **options).reply(ask(3))
    with pytest.raises(ConfigError, match="AZURE_OPENAI_API_KEY is not sent to https://elsewhere"):
        load_teacher("azure", model="m", base_url="https://elsewhere.test/openai/v1", cache=False)
    with pytest.raises(ConfigError, match="needs the address of your resource"):
        load_teacher("azure", model="m", cache=False)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com/")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    mine = load_teacher("azure", model="m", cache=False)
    assert mine.backend.settings["url"] == "https://mine.openai.azure.com/openai/v1" and mine.backend.secret.reveal() == KEY
    with pytest.raises(ConfigError, match="set AZURE_OPENAI_ENDPOINT to your own address"):  # another customer's
        load_teacher("azure", model="m", base_url="https://theirs.openai.azure.com/openai/v1", cache=False)


def test_a_version_that_yaml_reads_as_a_date_is_a_text(tmp_path, ask):
    path = tmp_path / "e.yaml"
    demo = Path("examples/demo-self-check.yaml").read_text("utf-8")
    path.write_text(demo, "utf-8")
    config = load_config(
        path,
        ["teacher.backend=openai", "teacher.model=m", "teacher.base_url=http://127.0.0.1:9/v1", "teacher.query.v=2024-10-21"],
    )
    teacher = load_teacher("openai", **{k: config.teacher.options[k] for k in ("model", "base_url", "query")}, cache=False)
    assert teacher.backend.settings["query"] == {"v": "2024-10-21"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("headers", {"Authorization": "Bearer abc"}),
        ("headers", {"x-api-key": "abc"}),
        ("headers", {"Cookie": "abc"}),
        ("headers", {"X-Trace": "sk-abcdefghijkl"}),
        ("query", {"key": "abc"}),
        ("query", {"access_token": "abc"}),
        ("extra_body", {"api_key": "abc"}),
        ("extra_body", {"provider": {"order": [{"authorization": "abc"}]}}),
        ("extra_body", {"user": "sk-abcdefghijkl"}),
    ],
)
def test_a_key_in_a_header_query_or_body_is_refused_and_not_repeated(option, value):
    with pytest.raises(ConfigError, match="never put a key into a config") as caught:
        load_teacher("openai", model="m", base_url="http://127.0.0.1:9/v1", cache=False, **{option: value})
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("extra_body", {"messages": []}, "the behavior writes them"),
        ("extra_body", {"max_tokens": 3}, "max_tokens_as for its name"),
        ("extra_body", {"response_format": {}}, "use the option structured"),
        ("headers", {"Content-Type": "text/plain"}, "is set by the HTTP client"),
        ("headers", {"x-a": "one\ntwo"}, "printable ASCII"),
        ("headers", {"x a": "one"}, "printable ASCII"),
        ("query", {"v": [1]}, "must be a text"),
        ("temperature", "hot", "a valid number or omit, not 'hot'"),
        ("max_tokens_as", "limit", "max_completion_tokens"),
    ],
)
def test_what_belongs_to_another_option_or_is_no_value_is_one_line(option, value, said):
    with pytest.raises(ConfigError) as caught:
        load_teacher("openai", model="m", base_url="http://127.0.0.1:9/v1", cache=False, **{option: value})
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_hints_name_options_that_exist():
    for _, hint in HINTS:
        assert any(name in hint for name in ("temperature", "top_p", "max_tokens_as", "reasoning_effort", "query"))


# ---- presets


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_a_teacher_with_its_own_address_and_key(name, monkeypatch, ask):
    row = PRESETS[name]
    assert name in teacher_names()
    for k, variable in enumerate(row.keys):
        monkeypatch.setenv(variable, f"sk-preset-key-{k}")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com")
    given = {"base_url": "https://mine.openai.azure.com/openai/v1"} if name == "azure" else {}
    teacher = load_teacher(name, model="some/model", cache=False, **given)
    assert teacher.name == name and teacher.backend.settings["url"] == given.get("base_url", row.base_url)
    assert teacher.backend.secret.reveal() == ("sk-preset-key-0" if row.keys else "")
    sent = teacher.backend.arguments(ask(1)[0])
    assert row.max_tokens_as in sent and sent.get("temperature") == row.temperature
    assert "sk-preset" not in repr(teacher.backend.settings)


@pytest.mark.parametrize("name", [name for name, row in PRESETS.items() if row.key_required])
def test_a_presets_key_goes_nowhere_else_and_is_missed(name, monkeypatch):
    with pytest.raises(ConfigError, match=f"{PRESETS[name].keys[0]} is not sent to https://elsewhere"):
        load_teacher(name, model="m", base_url="https://elsewhere.test/v1", cache=False)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com")
    given = {"base_url": "https://mine.openai.azure.com/openai/v1"} if name == "azure" else {}
    with pytest.raises(TeacherError, match=f"set the environment variable {PRESETS[name].keys[0]}"):
        load_teacher(name, model="m", cache=False, **given)


@pytest.mark.parametrize("name", ["ollama", "llamacpp", "vllm"])
def test_a_server_of_ones_own_needs_no_key_and_gets_its_own_on_this_machine_only(name, monkeypatch, ask):
    for variable in PRESETS[name].keys:
        monkeypatch.setenv(variable, KEY)
    with Server(key=KEY if PRESETS[name].keys else "") as server:
        reply = load_teacher(name, model="qwen3:8b", base_url=f"{server.url}/v1", cache=False, price={"input": 0, "output": 0})
        assert reply.reply(ask(1))[0].text == GOOD and body_of(server)["temperature"] == 0
    assert not load_teacher(name, model="m", base_url="http://192.168.1.9:8000/v1", cache=False).backend.secret


def test_openrouter_takes_the_effort_in_an_object_and_gemini_is_priced(monkeypatch, ask):
    monkeypatch.setenv("THEIRS", KEY)
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    with Server() as server:
        url = f"{server.url}/v1"
        load_teacher("openrouter", model="qwen/qwen3", base_url=url, key_env="THEIRS", reasoning_effort="low", cache=False).reply(
            ask(1)
        )
        assert body_of(server)["reasoning"] == {"effort": "low"} and "reasoning_effort" not in body_of(server)
    gemini = load_teacher("gemini", model="gemini-3.5-flash", cap_usd=1, cache=False)
    assert gemini.estimate(ask(1)).usd > 0 and "temperature" not in gemini.backend.arguments(ask(1)[0])
    with pytest.raises(ConfigError, match="cap_usd cannot be enforced without a price"):
        load_teacher("ollama", model="gpt-5-mini", cap_usd=1, cache=False)  # OpenAI's price is not that of another server


def test_an_option_that_a_preset_does_not_have_is_named():
    with pytest.raises(ConfigError, match=r"the teacher 'ollama' has no option 'temprature' \(did you mean 'temperature'"):
        load_teacher("ollama", model="m", temprature=1)
    with pytest.raises(ConfigError, match="the teacher 'vllm' also needs model"):
        load_teacher("vllm")
    with pytest.raises(ConfigError, match="the teacher 'vllm': option top_p"):
        load_teacher("vllm", model="m", top_p="high")


# ---- structured outputs


def as_json(body):
    return json.dumps(ANSWER)


def comment_request():
    example = Example("e", "What is 12+7?", "19", {})
    return request_for("r", example, "12+7=18. So \\boxed{18}.", load_behavior("self-check"))


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_service_with_structured_outputs_gets_a_schema_and_its_object_becomes_guidance(kind):
    request = comment_request()
    with Server(text=as_json, key=KEY if kind == "anthropic" else "") as server:
        reply = remote(kind, server, structured=True).reply([request])[0]
    body = body_of(server)
    form = body["response_format"]["json_schema"] if kind == "openai" else body["output_config"]["format"]
    assert form["schema"] == {
        "type": "object",
        "properties": {
            "opinion": {"type": "string", "enum": ["correct", "incorrect"]},
            "reason": {"type": "string"},
            "phrase": {"type": "string"},
        },
        "required": ["opinion", "reason", "phrase"],
        "additionalProperties": False,
    }
    assert parse_reply(reply.text) == (ANSWER, False)
    guidance = as_guidance(reply, load_behavior("self-check"), request.response)
    assert guidance.fields == ANSWER and guidance.verdict is False
    shots = [m["content"] if kind == "openai" else m["content"][0]["text"] for m in body["messages"] if m["role"] == "assistant"]
    assert len(shots) > 1 and all(set(json.loads(shot)) == set(ANSWER) for shot in shots)  # the few-shots are objects, too
    system = body["messages"][0]["content"] if kind == "openai" else body["system"][0]["text"]
    assert system.endswith('JSON object with the keys "opinion", "reason", "phrase", without the tags.')


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_server_that_rejects_the_schema_is_asked_in_words_and_says_so_once(kind, ask):
    def script(number, body):
        if "response_format" in body or "format" in body.get("output_config", {}):
            said = "response_format json_schema is not supported" if kind == "openai" else "output_config.format: not supported"
            return Raw(400, {"type": "error", "error": {"message": said, "type": "invalid_request_error"}})
        return "ok"

    with Server(script, key=KEY if kind == "anthropic" else "") as server:
        teacher = remote(kind, server, structured=True, concurrency=1, attempts=1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            replies = teacher.reply([comment_request(), *ask(3)])
    assert [r.text for r in replies] == [GOOD] * 4 and len(server.calls) == 5  # one more, once
    assert [str(w.message) for w in caught if "asked in words" in str(w.message)] and not teacher.faults


def test_a_judge_is_asked_with_its_own_schema(ask):
    said = json.dumps({"found": "yes", "quote": "I doubt it."})
    with Server(text=lambda body: said, key="") as server:
        teacher = remote("openai", server, structured=True)
        request = Judge("Does the writer doubt it?").request("I doubt it.")
        found = verdict(teacher.reply([request])[0], "I doubt it.")
    assert found.found and found.decided and found.spans == ((0, 11),)
    assert body_of(server)["response_format"]["json_schema"]["schema"]["properties"]["found"]["enum"] == ["yes", "no"]


def test_anything_but_the_object_is_left_to_the_parser():
    request = comment_request()
    with Server(key="", text=lambda body: texts.pop()) as server:
        for text in (
            "{",
            "[]",
            '{"opinion": "correct"}',
            json.dumps({**ANSWER, "reason": 3}),
            json.dumps({**ANSWER, "more": ""}),
        ):
            texts = [text]
            assert remote("openai", server, structured=True).reply([request])[0].text == text
