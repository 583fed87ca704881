"""JupyterLab in a headless Chromium: its own server, its own kernel, one notebook."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from tests.conftest import ROOT
from tests.support.widget_page import browser

PATIENCE_MS = 240_000  # for a kernel on a busy machine
TOKEN = "test"
PROMPTS = "[...document.querySelectorAll('.jp-Notebook .jp-Cell')].map(c => c.querySelector('.jp-InputPrompt').textContent)"
QUIET = {"fetchNews": "false", "checkForUpdates": False}


def beside_jupyterlab() -> Path:
    """``share/jupyter`` of the environment that JupyterLab is in, where the widgets' extensions are; mine may lie on top of it."""
    import jupyterlab

    return Path(jupyterlab.__file__).parents[4] / "share" / "jupyter"


@contextmanager
def server(folder: Path, environment: dict[str, str], theme: str = "light") -> Iterator[str]:
    """JupyterLab on loopback over ``folder``; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder / ".settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    tracker = folder / ".settings" / "@jupyterlab" / "notebook-extension"
    tracker.mkdir(parents=True)
    (tracker / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))  # every cell is in the page
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": f"JupyterLab {theme.title()}"}))
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.port_retries=0",
    ]
    with open(folder / ".server.log", "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                **environment,
                "JUPYTER_PATH": str(beside_jupyterlab()),
                "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
                "JUPYTER_RUNTIME_DIR": str(folder / ".runtime"),
                "JUPYTERLAB_WORKSPACES_DIR": str(folder / ".workspaces"),
                "JUPYTER_CONFIG_DIR": str(folder / ".config"),
            },
        )
    try:
        until = time.monotonic() + PATIENCE_MS / 1000
        while True:
            assert process.poll() is None, (folder / ".server.log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={TOKEN}", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < until, (folder / ".server.log").read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()  # shuts its kernels down as well
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def write_notebook(path: Path, cells: list[str]) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in cells],
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    )
    nbformat.write(notebook, path)


@contextmanager
def open_notebook(folder: Path, name: str, width: int = 900, height: int = 1600) -> Iterator[Notebook]:
    """``folder/name`` in a JupyterLab and a Chromium of its own. At the end no script of the page may have thrown anything."""
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with browser() as chromium, server(folder, environment) as address:
        page = chromium.new_page(viewport={"width": width, "height": height})
        thrown: list[str] = []
        page.on("pageerror", lambda error: thrown.append(str(error)))
        yield Notebook(page, address, name)
        assert not thrown, thrown


def shoot(page: Any, name: str) -> None:
    """A screenshot in the folder that ``THINKLAB_SCREENSHOTS`` names, to look at what a test saw; nothing without one."""
    if folder := os.environ.get("THINKLAB_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


class Notebook:
    """One open notebook in a Playwright page."""

    def __init__(self, page: Any, address: str, name: str):
        self.page, self.address, self.name = page, address, name
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{address}/doc/tree/{name}?token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """The toolbar's own circle says idle before there is any kernel; the status bar knows."""
        self.page.wait_for_function(
            "() => document.querySelector('#jp-bottom-panel, .jp-StatusBar-Widget, #jp-main-statusbar')"
            "?.textContent.includes('| Idle')"
        )

    def cell(self, number: int) -> Any:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def run(self, number: int) -> str:
        """Run one cell, wait until it has ended; its text output."""
        self.start(number)
        return self.ended(number)

    def start(self, number: int) -> None:
        self.cell(number).locator(".jp-InputPrompt").click()
        self.page.keyboard.press("Control+Enter")

    def ended(self, number: int) -> str:
        self.page.wait_for_function(f"n => /^\\[\\d+\\]:$/.test({PROMPTS}[n])", arg=number)
        return self.cell(number).locator(".jp-OutputArea").inner_text()

    def prompt(self, number: int) -> str:
        return self.cell(number).locator(".jp-InputPrompt").inner_text()

    def output(self, number: int) -> str:
        """Text output of a cell that has ended."""
        return self.cell(number).locator(".jp-OutputArea").inner_text()

    def run_all(self, clear: bool = False) -> None:
        """Run, Run All Cells.

        Args:
            clear: clear the outputs first, so that ``ended`` waits for the new ones.
        """
        if clear:
            self._menu("Edit", "Clear Outputs of All Cells")
            self.page.wait_for_function(f"() => {PROMPTS}.every(p => !/\\d/.test(p))")
        self._menu("Run", "Run All Cells")

    def run_from(self, number: int) -> None:
        """Run, Run Selected Cell and All Below."""
        before = self.prompt(number)
        self.cell(number).locator(".jp-InputPrompt").click()
        self._menu("Run", "Run Selected Cell and All Below")
        self.page.wait_for_function(f"([n, before]) => {PROMPTS}[n] !== before", arg=[number, before])

    def _menu(self, name: str, entry: str) -> None:
        self.page.locator(".lm-MenuBar-item", has_text=name).first.click()
        self.page.locator(".lm-Menu-itemLabel", has_text=entry).first.click()

    def theme(self, name: str) -> None:
        """Settings, Theme, JupyterLab ``Light`` or ``Dark``."""
        self.page.locator(".lm-MenuBar-item", has_text="Settings").click()
        self.page.locator(".lm-Menu-itemLabel", has_text="Theme").first.hover()
        self.page.locator(".lm-Menu-itemLabel", has_text=f"JupyterLab {name}").first.click()
        light = "true" if name == "Light" else "false"
        self.page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)

    def shut_down(self) -> None:
        """Kernel, Shut Down Kernel."""
        self._menu("Kernel", "Shut Down Kernel")
        self.page.wait_for_function(
            "() => document.querySelector('.jp-StatusBar-Widget, #jp-main-statusbar')?.textContent.includes('No Kernel')"
        )

    def opened_again(self) -> Notebook:
        """The saved notebook in a page of its own."""
        return Notebook(self.page.context.browser.new_page(viewport=self.page.viewport_size), self.address, self.name)

    def stop(self) -> None:
        """The stop button."""
        self.page.locator(
            'jp-button[data-command="notebook:interrupt-kernel"], button[data-command="notebook:interrupt-kernel"]'
        ).click()

    def restart(self) -> None:
        """Kernel, Restart Kernel and Clear Outputs of All Cells, and yes to the question."""
        page = self.page
        page.locator(".lm-MenuBar-item", has_text="Kernel").click()
        page.locator(".lm-Menu-item", has_text="Restart Kernel and Clear").click()
        page.locator(".jp-Dialog button.jp-mod-accept").click()
        page.wait_for_function(f"() => {PROMPTS}.every(p => /^\\[ ?\\]:$/.test(p))")
        self.wait_for_kernel()
