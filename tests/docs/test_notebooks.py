"""Every notebook runs from top to bottom on a CPU, and has what a guided notebook must have.

The test runs the same cells with a smaller size: what the notebook's own metadata say (``thinklab.test_parameters``) is put
behind the cell tagged ``parameters``, as papermill does.
"""

from __future__ import annotations

import ast
import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT
from tests.support.warm_start import warm_kernels

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KERNEL_S = 600  # patience with a busy machine, for one cell


def read(path):
    return nbformat.read(path, as_version=4)


def test_size(notebook):
    """``notebook`` with its parameters for a test."""
    place = next(k for k, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(notebook.metadata["thinklab"]["test_parameters"]))
    return notebook


test_size.__test__ = False


def run_all(client):
    """Every cell in the kernel that ``client`` has; outputs of before are cleared first, as Run All does."""
    for k, cell in enumerate(client.nb.cells):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            client.execute_cell(cell, k)


def texts(cell):
    return "".join(o.get("text", "") + str(o.get("data", "")) for o in cell.outputs)


def shows(source):
    """Must a cell with this source show something? One that ends in an expression, prints, or runs a command must."""
    if re.search(r"^(!|print\()", source, re.MULTILINE):
        return True
    last = ast.parse(source).body[-1]
    return isinstance(last, ast.Expr) and "lab.close()" not in ast.unparse(last)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_top_to_bottom_and_again_when_it_is_done(path, tmp_path, monkeypatch):
    """First Run All, a second one in the same kernel, and a third one in a new kernel: all pass, with outputs."""
    for key, value in {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    if path not in (NOTEBOOKS[0], NOTEBOOKS[-1]):  # these have the kernels that a person has: tqdm looks where it is on import
        warm_kernels(monkeypatch)
    notebook = test_size(read(path))
    client = NotebookClient(
        notebook,
        timeout=KERNEL_S,
        startup_timeout=KERNEL_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    shown = []
    for kernel in range(2):
        with client.setup_kernel():
            for _ in range(2 - kernel):
                run_all(client)
                shown.append([texts(cell) for cell in notebook.cells if cell.cell_type == "code"])
                for cell in (c for c in notebook.cells if c.cell_type == "code"):
                    assert cell.execution_count, cell.source
                    red = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr")
                    assert not red.strip(), f"{cell.source}\n{red}"
                    assert "No module named" not in texts(cell) and "Traceback" not in texts(cell), texts(cell)
                    assert cell.outputs or not shows(cell.source), f"shows nothing:\n{cell.source}"
    records = [p.read_bytes() for p in sorted(tmp_path.rglob("rollouts.jsonl"))]
    assert records and len(shown) == 3
    for first, *later in zip(*shown, strict=True):
        assert all(later) or not first, "a later Run All shows less"


def test_has_a_stop_here_cell_after_every_review_and_nothing_from_three_modules():
    stops = 0
    for path in NOTEBOOKS:
        code = [c.source for c in read(path).cells if c.cell_type == "code"]
        for k, source in enumerate(code):
            if source == "lab.review(batch)":
                assert code[k + 1] == "lab.stop_here()", path
                stops += 1
        modules = set(re.findall(r"from (thinklab\.[\w.]+) import", "\n".join(s for s in code if "google.colab" not in s)))
        assert len(modules) <= 1, f"{path.name} imports from {sorted(modules)}"
    assert stops == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_has_what_a_guided_notebook_must_have(path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert not any(c.outputs or c.execution_count for c in code), "outputs are not stripped"
    assert notebook.cells[0].source.startswith("# ")
    install = code[0].source
    assert "install" in code[0].metadata["tags"] and '"google.colab" in sys.modules' in install
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
