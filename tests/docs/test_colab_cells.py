"""The first cells of the notebooks on Colab, where there is none: what they install, what they say, and where they stop."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from types import ModuleType, SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.conftest import ROOT
from thinklab.config import restart
from tools import make_colab_cells

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ADDRESS = "https://github.com/someone/thinklab"


def cell(path, tag):
    return next("".join(c["source"]) for c in json.loads(path.read_text())["cells"] if tag in c["metadata"].get("tags", []))


@pytest.fixture
def colab(monkeypatch):
    """A Colab without a GPU; ``colab.commands`` are the commands that a cell ran."""
    found = SimpleNamespace(commands=[], wheels=[], gpu=None, result=subprocess.CompletedProcess([], 0, "", ""))
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr("glob.glob", lambda pattern: found.wheels if pattern == "/content/thinklab-*.whl" else [])
    monkeypatch.setattr("shutil.which", lambda name: found.gpu if name == "nvidia-smi" else None)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: (found.commands.append(command), found.result)[1])
    monkeypatch.setattr(restart, "replaced", lambda: {})
    return found


def test_every_notebook_is_up_to_date_and_names_no_placeholder():
    for path in NOTEBOOKS:
        assert cell(path, "install") == make_colab_cells.install_cell(make_colab_cells.repository())
        assert cell(path, "drive") == make_colab_cells.DRIVE and "DRIVE = False" in cell(path, "parameters")
    assert make_colab_cells.main(check=True) == 0
    tracked = [
        p
        for folder in ("notebooks", "docs", "examples")
        for p in (ROOT / folder).rglob("*")
        if p.suffix in (".ipynb", ".md", ".yaml")
    ]
    for path in [*tracked, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        assert "OWNER/" not in path.read_text(), path


def test_the_address_is_asked_once_and_gives_badge_and_install_cell(colab, tmp_path, monkeypatch):
    config = (ROOT / "pyproject.toml").read_text()
    assert config.count("repository =") == 1
    (tmp_path / "pyproject.toml").write_text(config.replace('repository = ""', f'repository = "{ADDRESS}.git"'))
    (tmp_path / "notebooks").mkdir()
    for path in NOTEBOOKS:
        (tmp_path / "notebooks" / path.name).write_text(path.read_text())
    monkeypatch.setattr(make_colab_cells, "ROOT", tmp_path)
    monkeypatch.setattr(make_colab_cells, "NOTEBOOKS", tmp_path / "notebooks")
    assert make_colab_cells.main(check=True) == 1
    assert make_colab_cells.main(check=False) == 0 and make_colab_cells.main(check=True) == 0
    for path in NOTEBOOKS:
        changed = tmp_path / "notebooks" / path.name
        nbformat.validate(nbformat.read(changed, as_version=4))
        first = "".join(json.loads(changed.read_text())["cells"][0]["source"])
        assert first.startswith("# ")
        assert f"https://colab.research.google.com/github/someone/thinklab/blob/main/notebooks/{path.name}" in first
        exec(cell(changed, "install"), {})
        assert colab.commands.pop()[-1] == f"thinklab[widgets,teachers] @ git+{ADDRESS}"
    (tmp_path / "pyproject.toml").write_text(config)
    make_colab_cells.main(check=False)
    assert all((tmp_path / "notebooks" / p.name).read_text() == p.read_text() for p in NOTEBOOKS), "and back again"
    (tmp_path / "pyproject.toml").write_text(config.replace('repository = ""', 'repository = "github.com/x"'))
    with pytest.raises(SystemExit, match=r"repository is 'github.com/x', not https"):
        make_colab_cells.repository()


def test_without_an_address_it_takes_an_uploaded_wheel_or_says_what_to_do(colab):
    with pytest.raises(SystemExit, match=r"repository.*pyproject|hatchling build, upload dist/thinklab"):
        exec(make_colab_cells.install_cell(""), {})
    assert not colab.commands
    colab.wheels = ["/content/thinklab-0.1.0-py3-none-any.whl"]
    exec(make_colab_cells.install_cell(""), {})
    assert colab.commands[0][-1] == "thinklab[widgets,teachers] @ file:///content/thinklab-0.1.0-py3-none-any.whl"


def test_with_a_gpu_it_installs_what_the_profiles_for_gpus_need(colab):
    colab.gpu = "/usr/bin/nvidia-smi"
    exec(make_colab_cells.install_cell(f"{ADDRESS}"), {})
    assert colab.commands[0][-1].startswith("thinklab[widgets,teachers,unsloth] @ git+https://github.com/someone")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(x.startswith("unsloth") for x in extras["unsloth"]) and any(x.startswith("anywidget") for x in extras["widgets"])


def test_a_failure_of_pip_stops_the_notebook(colab):
    colab.result = subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found for torch")
    with pytest.raises(SystemExit, match=r"could not install thinklab.*\n.*No matching distribution"):
        exec(make_colab_cells.install_cell(ADDRESS), {})


def test_a_replaced_torch_stops_the_notebook(colab, monkeypatch):
    monkeypatch.setattr(restart, "replaced", lambda: {"torch": ("2.1.0", "2.13.0")})
    with pytest.raises(restart.RestartNeeded, match=r"RESTART THE KERNEL.*torch 2.1.0 by 2.13.0"):
        exec(make_colab_cells.install_cell(ADDRESS), {})


@pytest.mark.slow
def test_in_a_kernel_the_cells_below_do_not_run():
    fake = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')"
    cells = [fake, make_colab_cells.install_cell(""), "print('went on')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    with pytest.raises(CellExecutionError, match="hatchling build"):
        NotebookClient(notebook, kernel_name="python3").execute()
    assert not notebook.cells[2].outputs


def test_the_drive_is_offered_and_mounted_only_when_asked_for(monkeypatch):
    mounted = []
    drive = ModuleType("google.colab.drive")
    drive.mount = mounted.append
    package = ModuleType("google.colab")
    package.drive = drive
    monkeypatch.setitem(sys.modules, "google.colab", package)
    names = {"DRIVE": False, "OUT": "runs/x"}
    exec(make_colab_cells.DRIVE, names)
    assert names["OUT"] == "runs/x" and not mounted
    exec(make_colab_cells.DRIVE, names := {"DRIVE": True, "OUT": "runs/x"})
    assert names["OUT"] == "/content/drive/MyDrive/thinklab/runs/x" and mounted == ["/content/drive"]
