"""Whatever a server sends with status 200 becomes a reply or a rejection: no traceback, and nothing stays reserved."""

import copy
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.fake_server import GOOD, KEY, Raw, Server
from tests.teachers.test_faults import remote
from thinklab.errors import TeacherError
from thinklab.teachers import TeacherReply
from thinklab.teachers.faults import ERRORS
from thinklab.teachers.money import Amount
from thinklab.teachers.options import RemoteOptions
from thinklab.teachers.remote import RemoteTeacher
from thinklab.teachers.secrets import Secret

GOOD_REPLY = {
    "openai": {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": GOOD, "refusal": None},
            }
        ],
        "usage": {
            "prompt_tokens": 50,
            "completion_tokens": 20,
            "total_tokens": 70,
            "prompt_tokens_details": {"cached_tokens": 7},
        },
    },
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "content": [{"type": "text", "text": GOOD}],
        "usage": {"input_tokens": 43, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 0, "output_tokens": 20},
    },
}


def changed(kind, *path, to):
    reply = copy.deepcopy(GOOD_REPLY[kind])
    node = reply
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = to
    return reply


MESSAGE = ("choices", 0, "message")
CASES = [  # kind, body, error of the reply, whether the usage was usable
    ("openai", changed("openai", "usage", to={}), "", False),
    ("openai", changed("openai", "usage", to=None), "", False),
    ("openai", changed("openai", "usage", "prompt_tokens", to=None), "", False),
    ("openai", changed("openai", "usage", "completion_tokens", to="many"), "", False),
    ("openai", changed("openai", "usage", "completion_tokens", to=-5), "", False),
    ("openai", changed("openai", "usage", "completion_tokens", to=10**400), "", False),
    ("openai", changed("openai", "usage", "prompt_tokens_details", to={"cached_tokens": None}), "", True),
    ("openai", changed("openai", "usage", "prompt_tokens_details", to=[3]), "", True),
    ("openai", changed("openai", *MESSAGE, "content", to=[{"type": "text", "text": GOOD}]), "", True),
    ("openai", changed("openai", *MESSAGE, "content", to=[{"type": "thinking"}, {"type": "text", "text": GOOD}]), "", True),
    ("openai", changed("openai", *MESSAGE, "content", to=[{"type": "text", "text": None}]), "bad-reply", True),
    ("openai", changed("openai", *MESSAGE, "content", to={"text": GOOD}), "bad-reply", True),
    ("openai", changed("openai", *MESSAGE, "content", to=None), "empty", True),
    ("openai", changed("openai", *MESSAGE, "refusal", to={"why": 1}), "refusal", True),
    ("openai", changed("openai", *MESSAGE[:2], "message", to=None), "bad-reply", True),
    ("openai", changed("openai", *MESSAGE[:2], "finish_reason", to=None), "bad-reply", True),
    ("openai", changed("openai", *MESSAGE[:2], "finish_reason", to=["stop"]), "bad-reply", True),
    ("openai", changed("openai", "choices", to=[]), "bad-reply", True),
    ("openai", changed("openai", "choices", to=None), "bad-reply", True),
    ("openai", changed("openai", "choices", to={}), "bad-reply", True),
    ("openai", changed("openai", "model", to=None), "", True),
    ("openai", changed("openai", *MESSAGE, "content", to="\ud800" + GOOD), "", True),
    ("openai", [], "bad-reply", False),
    ("openai", None, "bad-reply", False),
    ("openai", 7, "bad-reply", False),
    ("anthropic", changed("anthropic", "usage", to={}), "", False),
    ("anthropic", changed("anthropic", "usage", to=None), "", False),
    ("anthropic", changed("anthropic", "usage", "input_tokens", to=None), "", False),
    ("anthropic", changed("anthropic", "usage", "cache_read_input_tokens", to="x"), "", False),
    ("anthropic", changed("anthropic", "content", to=None), "empty", True),
    ("anthropic", changed("anthropic", "content", to=GOOD), "", True),
    ("anthropic", changed("anthropic", "content", 0, "text", to=["x"]), "bad-reply", True),
    ("anthropic", changed("anthropic", "content", 0, to=None), "bad-reply", True),
    ("anthropic", changed("anthropic", "stop_reason", to=None), "bad-reply", True),
    ("anthropic", changed("anthropic", "stop_reason", to=["refusal"]), "bad-reply", True),
    ("anthropic", {**GOOD_REPLY["anthropic"], "stop_reason": "refusal", "stop_details": {"explanation": [1]}}, "refusal", True),
    ("anthropic", {**GOOD_REPLY["anthropic"], "stop_reason": "refusal", "stop_details": "no"}, "refusal", True),
    ("anthropic", [], "bad-reply", False),
    ("anthropic", None, "bad-reply", False),
]


def sound(teacher, replies):
    """What holds after any reply: a known error, texts that can be written, an account that is closed and can be shown."""
    for reply in replies:
        assert reply.error == "" or reply.error in ERRORS
        for text in (reply.text, reply.detail, reply.model):
            text.encode("utf-8")
    assert teacher.cap.reserved == Amount()
    assert min(teacher.cap.spent.picodollars, teacher.cap.spent.tokens) >= 0
    json.dumps(teacher.totals(), ensure_ascii=False).encode("utf-8")
    assert teacher.summary() and teacher.brief()


@pytest.mark.parametrize(("kind", "body", "error", "usable"), CASES)
def test_an_odd_reply_is_used_or_rejected_and_counted(kind, body, error, usable, ask):
    with Server(lambda number, _: Raw(200, json.dumps(body)), key=KEY if kind == "anthropic" else "") as server:
        teacher = remote(kind, server, attempts=1, price={"input": 1, "output": 5})
        request = ask(1)[0]
        reply = teacher.reply([request])[0]
    assert reply.error == error, reply
    sound(teacher, [reply])
    if not error:
        assert reply.text.endswith(GOOD)
    if usable:
        assert teacher.cap.spent == Amount(150 * 10**6, 70, 1)
    else:  # nobody can tell what it cost: as much as it can have cost
        assert teacher.cap.spent.tokens > 70 + 512


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ("", "application/json"),
        ("{", "application/json"),
        ("<html>", "text/html"),
        ("null", "text/plain"),
        ("NaN", "application/json"),
        ('{"usage": ' + "9" * 5000 + "}", "application/json"),
        ("[" * 100_000, "application/json"),
    ],
)
@pytest.mark.parametrize("kind", ["anthropic", "openai"])
def test_a_body_that_is_no_json(kind, body, content, ask):
    with Server(lambda number, _: Raw(200, body, kind=content), key=KEY if kind == "anthropic" else "") as server:
        teacher = remote(kind, server, attempts=1, price={"input": 1, "output": 5})
        reply = teacher.reply(ask(1))[0]
    assert reply.error == "bad-reply"
    sound(teacher, [reply])


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**310)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["stop", "length", "end_turn", "refusal", "text", "error", "\ud800", GOOD])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "message", "error", "code", "usage", "choices", "x"])
            | st.text(max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


def places(node, path=()):
    yield path
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(inner, (*path, key))


@st.composite
def bodies(draw, kind):
    """A good reply with one to three parts replaced by anything, or taken out, or with an error beside them."""
    reply = copy.deepcopy(GOOD_REPLY[kind])
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(reply))))
        if not path:
            return draw(anything)
        node = reply
        for step in path[:-1]:
            node = node[step]
        if draw(st.booleans()):
            node[path[-1]] = draw(anything)
        else:
            del node[path[-1]]
    if draw(st.integers(0, 5)) == 0:
        reply["error"] = draw(anything)
    return reply


@pytest.fixture(scope="module")
def held():
    """One server for all examples, which are too many for one each."""
    now = {}
    with Server(lambda number, _: now["action"], key="") as server:
        yield server, now


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["anthropic", "openai"])
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), status=st.sampled_from([200, 200, 200, 200, 400, 403, 429, 500, 418, 299]))
@example(data=None, status=200)
def test_no_shape_of_a_reply_gets_out_raw(kind, held, ask, data, status):
    server, now = held
    body = data.draw(bodies(kind)) if data is not None else {}
    now["action"] = Raw(status, json.dumps(body))
    teacher = remote(kind, server, attempts=1, price={"input": 1, "output": 5}, cap_usd=10**6)
    try:
        replies = teacher.reply(ask(2))
    except TeacherError as error:  # an error in the body may say that the account has no credit
        str(error).encode("utf-8")
        known = ("has no credit", "key was rejected", "no such model", "requires a key")
        assert "\n" not in str(error) and any(words in str(error) for words in known), error
        replies = []
    sound(teacher, replies)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "text",
        TeacherReply("x", None),
        TeacherReply("x", "t", usage=None),
        TeacherReply("x", "t", detail=3),
        RuntimeError("boom"),
        KeyError("k"),
    ],
)
def test_a_backend_of_another_package_cannot_leak_either(odd, ask):
    class Odd:
        name, model, secret, settings = "odd", "odd-1", Secret(""), {}

        async def call(self, request, timeout_s, mark_prefix):
            if isinstance(odd, Exception):
                raise odd
            return odd

        async def check(self):
            pass

    teacher = RemoteTeacher(Odd(), RemoteOptions(attempts=1, cache=False, price={"input": 1, "output": 1}))
    replies = []
    try:
        replies = teacher.reply(ask(1))
    except TeacherError as error:
        assert isinstance(odd, Exception) and type(odd).__name__ in str(error)
    sound(teacher, replies)
