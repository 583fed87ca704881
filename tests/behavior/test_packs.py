"""Behavior packs: shown in full, accepted, pinned; from a folder, from the hub at a commit, and from an installed package."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from thinklab.behavior.behavior import load_behavior
from thinklab.behavior.pack_source import find_pack, visible
from thinklab.cli.behaviors import app
from thinklab.config.load import load_config
from thinklab.config.packs import accepted_packs, data_folder
from thinklab.errors import BehaviorError, ConfigError

ARR = """\
name: says-arr
extends: self-check
title: Says arr
description: Ends on arr.
detector: {phrase: "Arr:"}
tests: {shows: ["Arr: 5."], lacks: ["5."]}
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def pack(tmp_path) -> Path:
    folder = tmp_path / "Pirate_Pack"
    folder.mkdir()
    (folder / "says-arr.yaml").write_text(ARR)
    (folder / "louder.yaml").write_text("name: louder\nextends: says-arr\ntitle: Louder\nreward: {bonus: 1}\n")
    (folder / "pack.yaml").write_text("name: pirates\ndescription: Two pirates.\n")
    (folder / "setup.py").write_text("raise SystemExit('executed')\n")
    return folder


def run(*words, code: int = 0, stdin: str = ""):
    done = CliRunner().invoke(app, list(map(str, words)), input=stdin)
    assert done.exit_code == code, done.output
    return done.output


def test_a_pack_is_shown_in_full_before_it_is_asked_about(pack):
    said = run("add", pack, stdin="n\n", code=1)
    for file in ("says-arr.yaml", "louder.yaml", "pack.yaml"):
        assert hashlib.sha256((pack / file).read_bytes()).hexdigest() in said
    assert ARR.strip() in said and "pirates: 2 behaviors from" in said and "nothing was added" in said
    assert said.index(ARR.strip()) < said.index("Accept them?")
    assert accepted_packs() == {}
    with pytest.raises(BehaviorError, match="no behavior 'says-arr'"):
        load_behavior("says-arr")


def test_an_accepted_pack_can_be_used_by_name(pack, home):
    assert f"added to {home}" in run("add", pack, stdin="y\n")
    assert load_behavior("says-arr").detect("Arr: 5.") and load_behavior("pirates:louder").reward.bonus == 1
    assert not (home / "thinklab" / "packs" / "pirates" / "setup.py").exists()
    config = load_config("demo-self-check", ["behaviors=[louder]"])
    assert config.behaviors[0].name == "louder"
    rows = {row["name"]: row["source"] for row in json.loads(run("list", "--format", "json"))}
    assert rows["says-arr"] == f"pirates, {pack}" and rows["self-check"] == "thinklab"
    assert "already here with these files" in run("add", pack)
    assert "removed pirates" in run("remove", "pirates") and "no behavior pack 'pirates'" in run("remove", "pirates", code=2)
    with pytest.raises(ConfigError, match="no behavior 'louder'"):
        load_config("demo-self-check", ["behaviors=[louder]"])


def test_a_file_that_changed_since_is_refused_everywhere(pack, home):
    run("add", pack, "--yes")
    copy = home / "thinklab" / "packs" / "pirates" / "says-arr.yaml"
    (pack / "says-arr.yaml").write_text(ARR.replace("Arr:", "Yo:"))  # the source may change: the copy counts
    assert load_behavior("says-arr").detect("Arr: 5.")
    copy.write_text(ARR.replace("Arr:", "Ahoy:"))
    for name in ("says-arr", "louder"):
        with pytest.raises(BehaviorError, match=r"says-arr\.yaml: this file of the behavior pack 'pirates' is not the one"):
            load_behavior(name)
    listed = CliRunner().invoke(app, ["list"])
    assert listed.exit_code == 0 and "self-check" in listed.output and "is not the one" in listed.output
    said = run("add", copy.parent, "--name", "pirates", "--yes")  # what the message says
    assert "Ahoy:" in said and load_behavior("says-arr").detect("Ahoy: 5.")
    (copy.parent / "new.yaml").write_text(ARR)
    with pytest.raises(BehaviorError, match=r"new\.yaml: this file"):
        load_behavior("louder")


def test_a_new_version_shows_what_differs(pack):
    run("add", pack, "--yes")
    (pack / "says-arr.yaml").write_text(ARR.replace("Ends on arr.", "Ends on a loud arr."))
    said = run("add", pack, stdin="y\n")
    assert (
        "-description: Ends on arr." in said
        and "+description: Ends on a loud arr." in said
        and "Louder" not in said.split("\n\n")[0]
    )
    assert load_behavior("says-arr").spec.description == "Ends on a loud arr."


def test_names_that_more_than_one_has(pack, tmp_path):
    run("add", pack, "--yes")
    run("add", pack, "--name", "others", "--yes")
    with pytest.raises(BehaviorError, match="the packs others and pirates have a behavior 'louder': write others:louder"):
        load_behavior("louder")
    assert load_behavior("others:louder").name == "louder"
    with pytest.raises(BehaviorError, match=r"the pack 'pirates' has no behavior 'loudr' \(did you mean 'louder'\?\)"):
        load_behavior("pirates:loudr")
    with pytest.raises(BehaviorError, match="no behavior pack 'sailors' for 'sailors:louder'; there are: others, pirates"):
        load_behavior("sailors:louder")
    own = tmp_path / "own"
    own.mkdir()
    (own / "self-check.yaml").write_text("name: self-check\nextends: self-check\ntitle: Mine\n")
    assert "(as own:self-check, because thinklab ships another one)" in run("add", own, "--yes")
    assert load_behavior("self-check").title != "Mine" and load_behavior("own:self-check").title == "Mine"


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("broken.yaml", "name: broken\nextends: self-check\ndetectr: {}\n", r"broken\.yaml:3:1: unknown key 'detectr'"),
        ("other.yaml", "name: broken\nextends: self-check\n", r"other\.yaml: the file of the behavior 'broken' must be called"),
        ("pack.yaml", "run: ./install.sh\n", "pack.yaml: texts only, under name, title"),
        ("large.yaml", "# " + "x" * 70_000, "larger than 64 KiB"),
    ],
)
def test_a_pack_with_a_fault_is_refused_as_a_whole(pack, name, text, said):
    (pack / name).write_text(text)
    with pytest.raises(BehaviorError, match=said):
        find_pack(str(pack))


def test_what_is_no_pack(pack, tmp_path):
    (tmp_path / "empty").mkdir()
    for source, said in (
        (tmp_path / "empty", "no behavior files"),
        (tmp_path / "gone", "there is no folder"),
        ("hub:pack", "write hub:ORG/"),
    ):
        with pytest.raises(BehaviorError, match=said):
            find_pack(str(source))
    (pack / "linked.yaml").symlink_to("/etc/hostname")
    with pytest.raises(BehaviorError, match="a link or a folder"):
        find_pack(str(pack))


def test_hidden_characters_are_shown():
    assert visible("a\x1b[2Jb\u202ec\n") == "a\\u001b[2Jb\\u202ec\n"


def test_packs_of_installed_packages_are_found_without_being_executed(tmp_path, monkeypatch):
    inside = tmp_path / "site" / "sailors"
    inside.mkdir(parents=True)
    (inside / "says-ahoy.yaml").write_text(ARR.replace("says-arr", "says-ahoy"))
    (inside / "__init__.py").write_text("raise SystemExit('executed')\n")
    info = tmp_path / "site" / "sailors-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sailors\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[thinklab.behavior_packs]\nsailors = sailors\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert load_behavior("says-ahoy").name == load_behavior("sailors:says-ahoy").name == "says-ahoy"
    rows = {row["name"]: row["source"] for row in json.loads(run("list", "--format", "json"))}
    assert rows["says-ahoy"] == "sailors, sailors 1.0"


# ---- the hub, by a server on this machine ---------------------------------------------------------------------------------


@contextmanager
def hub(commits: dict[str, dict[str, str]], branch: dict[str, str]):
    """The hub's addresses for the data set crew/pirates: ``commits`` maps a commit to its files, ``branch`` names commits."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def answer(self, body: bytes, kind: str, commit: str = "", status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            parts = path.strip("/").split("/")
            if path.startswith("/api/datasets/crew/pirates"):
                wanted = parts[parts.index("revision") + 1] if "revision" in parts else "main"
                commit = branch.get(wanted, wanted)
                if commit in commits:
                    files = [{"rfilename": name} for name in commits[commit]]
                    if "tree" in parts:
                        files = [{"type": "file", "path": n, "size": len(t), "oid": "0"} for n, t in commits[commit].items()]
                        return self.answer(json.dumps(files).encode(), "application/json")
                    told = {"id": "crew/pirates", "sha": commit, "siblings": files}
                    return self.answer(json.dumps(told).encode(), "application/json")
            if path.startswith("/datasets/crew/pirates/resolve/"):
                commit, name = parts[4], "/".join(parts[5:])
                return self.answer(commits[commit][name].encode(), "text/plain", commit)
            self.answer(b'{"error": "Repository not found"}', "application/json", status=404)

        do_HEAD = do_GET

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()


def add_from(url: str, home: Path, *words: str) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": url, "HF_HOME": str(home / "hf"), "XDG_DATA_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "thinklab", "behaviors", "add", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_a_pack_of_the_hub_is_pinned_to_a_commit(home):
    first, second = "a" * 40, "b" * 40
    evil = "raise SystemExit('executed')\n"
    commits = {
        first: {"says-arr.yaml": ARR, "load.py": evil, "more/inner.yaml": ARR},
        second: {"says-arr.yaml": ARR.replace("Arr:", "Yo:"), "load.py": evil},
    }
    with hub(commits, {"main": first}) as (url, asked):
        done = add_from(url, home, "hub:crew/pirates", "--yes")
        assert done.returncode == 0, done.stderr
        assert f"pirates: 1 behaviors from hub:crew/pirates at commit {first}" in done.stdout and ARR.strip() in done.stdout
        assert not [path for path in asked if path.endswith((".py", "inner.yaml"))]
    found = accepted_packs()["pirates"]
    assert found.revision == first and set(found.pins) == {"says-arr.yaml"} and found.folder.is_relative_to(data_folder())
    assert load_behavior("says-arr").detect("Arr: 5.")
    with hub(commits, {"main": second, "v1": first}) as (url, _):
        assert "already here with these files" in add_from(url, home, "hub:crew/pirates@v1").stdout
        done = add_from(url, home, "hub:crew/pirates")  # nobody answers the question
        assert done.returncode == 1 and '+detector: {phrase: "Yo:"}' in done.stdout
        assert accepted_packs()["pirates"].revision == first
        done = add_from(url, home, "hub:crew/gone", "--yes")
        assert done.returncode == 2 and "hub:crew/gone cannot be read" in done.stderr and "Traceback" not in done.stderr
