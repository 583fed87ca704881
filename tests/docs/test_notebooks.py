"""Every notebook runs from top to bottom on a CPU, and has what a guided notebook must have.

The test runs the same cells with a smaller size: what the notebook's own metadata say (``thinklab.test_parameters``) is put
behind the cell tagged ``parameters``, as papermill does.
"""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KERNEL_S = 600  # patience with a busy machine, for one cell


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    for key, value in {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    notebook = read(path)
    place = next(k for k, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(notebook.metadata["thinklab"]["test_parameters"]))
    NotebookClient(
        notebook,
        timeout=KERNEL_S,
        startup_timeout=KERNEL_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count, cell.source
            text = "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream" and o.name == "stderr")
            assert "Traceback" not in text and "Warning" not in text, text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_has_what_a_guided_notebook_must_have(path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert not any(c.outputs or c.execution_count for c in code), "outputs are not stripped"
    first = notebook.cells[0].source
    assert first.startswith("# ") and f"colab.research.google.com/github/OWNER/thinklab/blob/main/notebooks/{path.name}" in first
    install = code[0].source
    assert '"google.colab" in sys.modules' in install and re.search(r"%pip install -q .*thinklab", install)
    assert all(line.startswith((" ", "#", "import", "if")) for line in install.splitlines() if line), (
        "it does something elsewhere"
    )
    parameters = [c.source for c in code if "parameters" in c.metadata.get("tags", ())]
    assert len(parameters) == 1
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown").lower()
    assert "## exercise" in prose and "## what can go wrong" in prose and "from the top" in prose
    assert any(word in prose for word in ("expect", "you should see"))
    if 'PROFILE = "tiny"' in parameters[0]:
        assert '"t4"' in parameters[0] and '"24gb"' in parameters[0]
    for cell in notebook.cells:
        assert not re.search(r"sk-[a-z]|api_key\s*=\s*[\"']", cell.source)


def test_they_are_numbered_in_reading_order():
    numbers = [int(p.name[:2]) for p in NOTEBOOKS]
    assert numbers == sorted(set(numbers)) and {0, 3, 5, 6} <= set(numbers)
