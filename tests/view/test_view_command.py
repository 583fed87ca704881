"""``thinklab view`` as a person starts it: an address, the pages behind its token, and an end by Ctrl-C."""

from __future__ import annotations

import json
import signal
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest

from tests.support.view_runs import make_run, some_rollouts
from tests.support.warm_start import start

pytest.importorskip("starlette", reason="needs the extra view")


def test_it_serves_at_the_address_that_it_names_until_ctrl_c(tmp_path):
    make_run(tmp_path / "runs" / "one", some_rollouts(2))
    process = start("view", tmp_path / "runs")
    try:
        url = next(line.strip() for line in process.stderr if line.startswith("http://127.0.0.1:"))
        place = url.partition("?")[0]
        visitor, stranger = build_opener(ProxyHandler({}), HTTPCookieProcessor()), build_opener(ProxyHandler({}))
        with visitor.open(url) as page:
            assert page.status == 200 and b"thinklab" in page.read()
        with visitor.open(f"{place}api/runs") as answer:
            assert [run["id"] for run in json.load(answer)["runs"]] == ["one"]
        with pytest.raises(HTTPError, match="403"):
            stranger.open(f"{place}api/runs")
        busy = start("view", tmp_path / "runs", "--port", place.rstrip("/").rpartition(":")[2])
        assert "cannot be used" in busy.communicate(timeout=60)[1] and busy.returncode == 2
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130 and "Traceback" not in said
    finally:
        process.kill()
