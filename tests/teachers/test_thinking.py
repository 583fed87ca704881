"""A reasoning model's thinking is no part of its reply, and it is counted."""

import pytest

from tests.support.fake_server import GOOD, Raw, Server
from tests.teachers.test_faults import remote
from thinklab.guide.guide import parse_reply
from thinklab.teachers.thinking import split, without_thinking
from thinklab.types import TeacherReply, Usage


@pytest.mark.parametrize(
    ("text", "thinking", "reply"),
    [
        (GOOD, "", GOOD),
        (f"<think>\nHm.\n</think>\n\n{GOOD}", "\nHm.\n", GOOD),
        (f"\n<thinking>Hm.</thinking>{GOOD}", "Hm.", GOOD),
        (f"<think></think>\n\n{GOOD}", "", GOOD),  # Qwen3 with its thinking off
        (f"<think>a</think> <think>b</think>{GOOD}", "a\nb", GOOD),
        (f"Hm, so it is.\n</think>\n{GOOD}", "Hm, so it is.\n", GOOD),  # opened by the chat template
        ("<think>It goes on and", "It goes on and", ""),  # truncated
        ("<think>So <think> is a tag.</think>Yes", "So <think> is a tag.", "Yes"),
        ("Yes. <think>no</think>", "", "Yes. <think>no</think>"),  # inside a comment
        ("  Plain, with space  ", "", "  Plain, with space  "),
        ("", "", ""),
    ],
)
def test_only_thinking_before_the_reply_is_taken_out(text, thinking, reply):
    assert split(text) == (thinking, reply)


def test_thinking_is_counted_as_reported_or_by_its_share_of_the_text():
    found = without_thinking(TeacherReply("1", "<think>" + "a" * 300 + "</think>" + "b" * 100, usage=Usage(10, 80)))
    assert found.text == "b" * 100 and found.usage == Usage(10, 80, thinking_tokens=60)
    told = without_thinking(TeacherReply("1", "<think>aaa</think>b", usage=Usage(10, 80, thinking_tokens=71)))
    assert told.usage.thinking_tokens == 71
    apart = without_thinking(TeacherReply("1", "bbbb", usage=Usage(10, 80)), apart="aaaa")
    assert (apart.text, apart.usage.thinking_tokens) == ("bbbb", 40)
    assert without_thinking(TeacherReply("1", "b", usage=Usage(10, 80))).usage.thinking_tokens == 0


def completion(content, finish="stop", **more):
    """A chat completion with whatever a server puts next to ``content``; ``details`` of its usage."""
    usage = {"prompt_tokens": 50, "completion_tokens": 200, "total_tokens": 250}
    if details := more.pop("details", None):
        usage["completion_tokens_details"] = details
    message = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return Raw(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage})


@pytest.mark.parametrize(
    ("sent", "tokens"),
    [
        (completion(f"<think>{'x' * len(GOOD)}</think>{GOOD}"), 100),
        (completion(f"{'x' * len(GOOD)}</think>\n\n{GOOD}"), 100),
        (completion(GOOD, reasoning_content="x" * len(GOOD)), 100),  # vLLM, llama.cpp, DeepSeek
        (completion(GOOD, reasoning="x" * len(GOOD)), 100),  # OpenRouter, Ollama
        (completion(GOOD, reasoning_content="x", details={"reasoning_tokens": 150}), 150),
        (completion(GOOD, details={"reasoning_tokens": 150}), 150),  # OpenAI: only the number
        (completion([{"type": "thinking", "thinking": "x"}, {"type": "text", "text": GOOD}]), 0),  # Mistral
        (completion(GOOD), 0),
    ],
)
def test_the_openai_sdk_on_each_way_to_send_thinking(sent, tokens, ask):
    with Server(lambda number, body: sent, key="") as server:
        teacher = remote("openai", server)
        reply = teacher.reply(ask(1))[0]
    assert (reply.text, reply.error, reply.usage.thinking_tokens) == (GOOD, "", tokens)
    assert parse_reply(reply.text)[1] is False and teacher.used.thinking_tokens == tokens
    assert (f"200 out ({tokens} thinking)" in teacher.summary()) == bool(tokens)
    assert teacher.totals()["thinking_tokens"] == tokens


def test_a_reply_that_is_only_thinking_says_what_to_change(ask):
    for content, more in (("<think>Hm.</think>\n", {}), ("", {"reasoning_content": "Hm."}), (None, {"reasoning": "Hm."})):
        sent = completion(content, **more)
        with Server(lambda number, body, sent=sent: sent, key="") as server:
            reply = remote("openai", server).reply(ask(1))[0]
        assert reply.error == "empty" and "raise the teacher's option max_tokens" in reply.detail and len(server.calls) == 2


def test_a_reply_that_ends_while_thinking_says_how_much_of_it_was(ask):
    sent = completion("<think>" + "x" * 500, "length")
    with Server(lambda number, body: sent, key="") as server:
        reply = remote("openai", server).reply(ask(1))[0]
    assert (reply.error, reply.text) == ("max-tokens", "") and "200 of 200 tokens of it thinking" in reply.detail


def test_claudes_thinking_blocks_are_no_text_and_are_counted(ask):
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": GOOD}],
        "usage": {"input_tokens": 50, "output_tokens": 200, "output_tokens_details": {"thinking_tokens": 150}},
    }
    with Server(lambda number, body: Raw(200, message)) as server:
        teacher = remote("anthropic", server)
        reply = teacher.reply(ask(1))[0]
    assert reply.text == GOOD and reply.usage == Usage(50, 200, thinking_tokens=150)


def test_a_count_that_is_no_number_or_too_large_is_not_believed(ask):
    for odd, tokens in (("many", 0), (-1, 0), (10**6, 200), (None, 0)):
        sent = completion(GOOD, details={"reasoning_tokens": odd})
        with Server(lambda number, body, sent=sent: sent, key="") as server:
            assert remote("openai", server).reply(ask(1))[0].usage.thinking_tokens == tokens


def test_the_totals_of_an_earlier_version_are_read(ask):
    with Server() as server:
        first, second = remote("anthropic", server), remote("anthropic", server)
        first.reply(ask(1))
    totals = {k: v for k, v in first.totals().items() if k != "thinking_tokens"}
    second.restore(totals)
    assert second.used == first.used
