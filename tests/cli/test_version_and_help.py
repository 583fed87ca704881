"""``--version``, ``-h`` and ``python -m thinklab``: what a stranger tries first."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import thinklab
from thinklab.cli.app import app


def run(*args):
    return CliRunner().invoke(app, args)


def test_one_version_everywhere():
    assert thinklab.__version__ == metadata.version("thinklab")
    assert run("--version").output == f"thinklab {thinklab.__version__}\n"


def every_command(group=None, path=()):
    group = group or get_command(app)
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from every_command(command, (*path, name))


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_h_is_help(command):
    short, long = run(*command, "-h"), run(*command, "--help")
    assert short.exit_code == 0 and short.output == long.output and "Usage:" in short.output


def test_help_says_what_thinklab_is():
    assert app.info.help in " ".join(run("-h").output.split())


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "thinklab", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"thinklab {thinklab.__version__}\n"


def test_importing_the_version_loads_no_library():
    code = "import sys, thinklab; thinklab.__version__; sys.exit('torch' in sys.modules or 'typer' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
