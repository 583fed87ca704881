"""Versions outside the declared ranges are named once, with the command that mends them, and without importing anything."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from tests.conftest import ROOT
from thinklab.cli.app import app
from thinklab.config import tested_versions
from thinklab.config.tested_versions import TESTED, out_of_range, warn_once

REQUIRED = [
    "trl>=1.14.2,<1.17",
    "peft>=0.18,<0.22",
    "plotly>=7,<8",
    "absent>=1",
    "typer>=0.29; python_version < '3'",
    "trl==1.14.2; extra == 'unsloth'",
]


@pytest.fixture
def installed(monkeypatch):
    """The installed versions; thinklab requires ``REQUIRED``."""
    have = {"thinklab": "0.2", "trl": "1.16.0", "peft": "0.21.2", "plotly": "7.1", "typer": "0.1"}

    def version(name):
        if name not in have:
            raise metadata.PackageNotFoundError(name)
        return have[name]

    monkeypatch.setattr(tested_versions.metadata, "requires", lambda name: REQUIRED)
    monkeypatch.setattr(tested_versions.metadata, "version", version)
    warn_once.cache_clear()
    yield have
    warn_once.cache_clear()


def test_nothing_is_said_where_all_are_in_range(installed, capsys):
    assert not out_of_range()
    warn_once()
    assert capsys.readouterr().err == ""


def test_each_one_outside_is_named_once_with_the_range_and_the_command(installed, capsys):
    installed |= {"trl": "1.17.0", "peft": "0.17.1", "plotly": "8.0"}
    warn_once()
    warn_once()
    assert capsys.readouterr().err == (
        "thinklab 0.2 is not tested with trl 1.17.0 (tested: >=1.14.2,<1.17), peft 0.17.1 (tested: >=0.18,<0.22), "
        "plotly 8.0 (supported: >=7,<8). If something fails: "
        "pip install 'trl>=1.14.2,<1.17' 'peft>=0.18,<0.22' 'plotly>=7,<8'\n"
    )


@pytest.mark.parametrize(
    "version, inside",
    [("1.14.2", True), ("1.14.1", False), ("1.16.9+cpu", True), ("1.16.0rc1", True), ("1.17.0.dev1", False), ("nightly", False)],
)
def test_the_bounds(installed, version, inside):
    installed["trl"] = version
    assert (not out_of_range()) == inside


def test_an_extra_has_ranges_of_its_own(installed):
    assert [(one.package, one.range, one.extra) for one in out_of_range(["unsloth"])] == [("trl", "==1.14.2", True)]


def test_the_sources_alone_have_no_ranges(installed, monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(tested_versions.metadata, "requires", requires)
    assert out_of_range(["unsloth"]) == []


def test_a_command_says_it_on_stderr_and_the_doctor_among_its_findings(installed, monkeypatch):
    installed["trl"] = "1.17.0"
    done = CliRunner().invoke(app, ["behaviors", "list"])
    assert done.exit_code == 0 and done.stderr.count("is not tested with trl 1.17.0") == 1 and "1.17.0" not in done.stdout
    warn_once.cache_clear()
    done = CliRunner().invoke(app, ["doctor", "--quick"])
    assert "trl 1.17.0" in done.stdout and "not tested" not in done.stderr


def test_opening_a_lab_says_it(installed, tmp_path, monkeypatch, capsys):
    from thinklab import Lab

    installed["trl"] = "1.17.0"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="nowhere"):
        Lab("nowhere.yaml")
    assert "is not tested with trl 1.17.0" in capsys.readouterr().err


def test_no_library_is_imported_for_it():
    code = (
        "import sys; from thinklab.config.tested_versions import warn_once; warn_once(); "
        f"sys.exit(bool({ {*TESTED, 'torch', 'pydantic'} } & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_version_of_the_core_is_exact():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = {one.name: {s.operator for s in one.specifier} for one in map(Requirement, project["dependencies"])}
    assert not any("==" in operators for operators in bounds.values())
    assert all(bounds[name] == {">=", "<"} for name in TESTED)
