import pytest

from tests.support.fake_server import KEY
from thinklab.teachers import TeacherRequest
from thinklab.types import Example


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No key, cache or proxy of the person who runs the tests."""
    for name in (
        "OPENAI_API_KEY",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_AUTH_TOKEN",
        "OPENAI_BASE_URL",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def ask():
    """``ask(3)``: three different requests; ``ask(3, prefix=...)`` with a longer system text."""

    def make(n: int, prefix: str = "", start: int = 0, response: str = "12+7=18. So \\boxed{18}.", max_tokens: int = 64):
        out = []
        for k in range(start, start + n):
            text = f"{response} ({k})"
            example = Example(f"e{k}", f"What is 12+7? ({k})", "19", {"operands": [12, 7]})
            messages = (
                {"role": "system", "content": f"You teach. {prefix}"},
                {"role": "user", "content": f"Question:\n{example.question}\n\nResponse:\n{text}"},
            )
            out.append(TeacherRequest(f"0-{k}", messages, example, text, "self-check", "abc123", max_tokens))
        return out

    return make
