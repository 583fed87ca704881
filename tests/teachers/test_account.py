"""An account that has no credit or has no access ends the asking at once; a flagged input costs one reply and no more."""

import time

import pytest

from tests.support.fake_server import KEY, Raw, Server
from tests.teachers.test_faults import remote
from thinklab.errors import TeacherError
from thinklab.teachers.faults import ERRORS
from thinklab.teachers.money import Amount


def openai_error(status, message, code=None, kind=None, **more):
    body = {"message": message, "type": kind or code, "param": None, "code": code, **more}
    return Raw(status, {"error": body}, "retry-after: 1\r\n")


def anthropic_error(status, message, kind="invalid_request_error"):
    return Raw(status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


ENDS = {  # what the services send -> words of the one line
    "anthropic-credit": (
        "anthropic",
        "has no credit",
        anthropic_error(
            400, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."
        ),
    ),
    "anthropic-limit": (
        "anthropic",
        "has no credit",
        anthropic_error(
            400, "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
        ),
    ),
    "anthropic-billing": ("anthropic", "has no credit", anthropic_error(402, "An issue with your billing", "billing_error")),
    "anthropic-permission": (
        "anthropic",
        "key was rejected",
        anthropic_error(403, "Your API key does not have permission to use the specified resource.", "permission_error"),
    ),
    "anthropic-disabled": ("anthropic", "key was rejected", anthropic_error(400, "This organization has been disabled.")),
    "openai-quota": (
        "openai",
        "has no credit",
        openai_error(429, "You exceeded your current quota, please check your plan and billing details.", "insufficient_quota"),
    ),
    "openai-quota-type": (
        "openai",
        "has no credit",
        openai_error(
            429, "You exceeded your current quota, please check your plan and billing details.", None, "insufficient_quota"
        ),
    ),
    "openai-inactive": (
        "openai",
        "has no credit",
        openai_error(429, "Your account is not active, please check your billing details on our website.", "billing_not_active"),
    ),
    "openai-hard-limit": (
        "openai",
        "has no credit",
        openai_error(400, "Billing hard limit has been reached.", "billing_hard_limit_reached", "invalid_request_error"),
    ),
    "openai-deactivated": (
        "openai",
        "key was rejected",
        openai_error(401, "The OpenAI account associated with this API key has been deactivated.", "account_deactivated"),
    ),
    "openai-country": (
        "openai",
        "key was rejected",
        openai_error(
            403, "Country, region, or territory not supported", "unsupported_country_region_territory", "request_forbidden"
        ),
    ),
    "openai-terminated": (
        "openai",
        "key was rejected",
        openai_error(
            403,
            "Your access was terminated due to violation of our policies, please check your email.",
            None,
            "access_terminated",
        ),
    ),
    "openrouter-402": ("openai", "has no credit", openai_error(402, "Insufficient credits. Add more using the site.", 402)),
    "openrouter-late": ("openai", "has no credit", Raw(200, {"error": {"code": 402, "message": "Insufficient credits"}})),
    "openrouter-key": ("openai", "has no credit", openai_error(403, "Key limit exceeded (total limit).", 403)),
    "moonshot": (
        "openai",
        "has no credit",
        openai_error(
            429, "Your account is suspended, please check your plan and billing details", None, "exceeded_current_quota_error"
        ),
    ),
    "xai": (
        "openai",
        "has no credit",
        Raw(
            403,
            {
                "code": "The caller does not have permission",
                "error": "Your team has either used all available credits or reached its monthly spending limit.",
            },
        ),
    ),
    "google-key": (
        "openai",
        "key was rejected",
        Raw(
            400,
            [
                {
                    "error": {
                        "code": 400,
                        "message": "API key not valid. Please pass a valid API key.",
                        "status": "INVALID_ARGUMENT",
                        "details": [{"reason": "API_KEY_INVALID"}],
                    }
                }
            ],
        ),
    ),
    "dashscope": (
        "openai",
        "has no credit",
        openai_error(400, "Access denied, please make sure your account is in good standing.", "Arrearage"),
    ),
}
FLAGGED = {
    "openrouter": openai_error(
        403,
        'anthropic/some-model requires moderation. Your input was flagged for "violence".',
        403,
        metadata={"reasons": ["violence"], "flagged_input": "12+7 ...", "provider_name": "Anthropic", "model_slug": "m"},
    ),
    "openai-prompt": openai_error(
        400,
        "Invalid prompt: your prompt was flagged as potentially violating our policy.",
        "invalid_prompt",
        "invalid_request_error",
    ),
    "azure": openai_error(
        400,
        "The prompt triggered the content management policy.",
        "content_filter",
        innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    ),
    "dashscope": openai_error(400, "Input data may contain inappropriate content.", "data_inspection_failed"),
}


def server_for(kind, script, **more):
    return Server(script, key=KEY if kind == "anthropic" else "", **more)


@pytest.mark.parametrize("case", ENDS)
@pytest.mark.parametrize("answered", [0, 4])
def test_no_credit_and_no_access_end_it_at_once(case, answered, ask, monkeypatch):
    kind, said, error = ENDS[case]
    monkeypatch.setenv("SOME_KEY", "sk-of-a-server-0123456789")
    with server_for(kind, lambda number, body: "ok" if number < answered else error) as server:
        teacher = remote(kind, server, concurrency=1, **({"key_env": "SOME_KEY"} if kind == "openai" else {}))
        if answered:
            assert not any(r.error for r in teacher.reply(ask(answered)))
        started = time.monotonic()
        with pytest.raises(TeacherError, match=said) as caught:
            teacher.reply(ask(6, start=10))
    assert answered < len(server.calls) <= answered + 2 and time.monotonic() - started < 5  # one more may be on its way
    assert "\n" not in str(caught.value) and teacher.cap.reserved == Amount()


@pytest.mark.parametrize("case", FLAGGED)
@pytest.mark.parametrize("at", [0, 2])
def test_a_flagged_input_loses_its_own_reply_alone(case, at, ask):
    with server_for("openai", lambda number, body: FLAGGED[case] if number == at else "ok") as server:
        teacher = remote("openai", server, concurrency=1)
        replies = teacher.reply(ask(5))
    assert [r.error for r in replies] == ["flagged" if k == at else "" for k in range(5)] and len(server.calls) == 5
    assert replies[at].detail.startswith("HTTP 40") and "flagged" in ERRORS
    assert teacher.outcomes == {"ok": 4, "flagged": 1}


def test_many_flagged_inputs_never_end_it(ask):
    with server_for("openai", lambda number, body: FLAGGED["openrouter"]) as server:
        replies = remote("openai", server).reply(ask(20))
    assert {r.error for r in replies} == {"flagged"} and len(server.calls) == 20


def test_a_403_without_a_reason_is_one_reply_until_it_is_all_of_them(ask):
    wall = Raw(403, "<html>Request blocked</html>", kind="text/html")
    with server_for("openai", lambda number, body: wall if number % 3 == 0 else "ok") as server:
        replies = remote("openai", server, concurrency=1).reply(ask(9))
    assert [r.error for r in replies] == ["forbidden", "", ""] * 3
    for first, limit in ((0, 3), (2, 16)):
        with server_for("openai", lambda number, body, first=first: "ok" if number < first else wall) as server:
            with pytest.raises(TeacherError, match="HTTP 403"):
                remote("openai", server, concurrency=1).reply(ask(40))
            assert first + limit <= len(server.calls) <= first + limit + 1


def test_a_rate_limit_with_the_words_of_a_quota_is_asked_again(ask):
    """Google says "exceeded your current quota" for a minute's limit, too; only the code tells."""
    google = Raw(
        429,
        [
            {
                "error": {
                    "code": 429,
                    "message": "You exceeded your current quota, please check your plan and billing details.",
                    "status": "RESOURCE_EXHAUSTED",
                }
            }
        ],
        "retry-after: 0\r\n",
    )
    plain = Raw(
        429,
        {"error": {"message": "Rate limit reached for requests", "type": "requests", "code": "rate_limit_exceeded"}},
        "retry-after: 0\r\n",
    )
    for limit in (google, plain):
        with server_for("openai", lambda number, body, limit=limit: limit if number == 0 else "ok") as server:
            teacher = remote("openai", server)
            assert teacher.reply(ask(1))[0].error == "" and teacher.faults == {"rate-limit": 1}


def test_an_error_inside_a_good_status_is_read_as_what_it_is(ask):
    late = {
        "id": "x",
        "choices": [
            {
                "index": 0,
                "finish_reason": "error",
                "message": {"role": "assistant", "content": "<opin"},
                "error": {"code": 502, "message": "Provider disconnected"},
            }
        ],
    }
    with server_for("openai", lambda number, body: Raw(200, late) if number == 0 else "ok") as server:
        teacher = remote("openai", server)
        assert teacher.reply(ask(1))[0].error == "" and teacher.faults == {"server": 1}


def test_a_key_that_may_not_list_models_may_still_answer(ask):
    with server_for("openai", lambda number, body: "ok") as server:

        async def forbid(writer, *_):
            return await server._send(writer, 403, {"error": {"message": "Missing scopes: api.model.read"}})

        whole, server._answer = server._answer, forbid
        teacher = remote("openai", server)
        teacher.check()
        server._answer = whole
        assert not teacher.reply(ask(1))[0].error
