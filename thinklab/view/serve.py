"""uvicorn on the loopback address: in the foreground (``thinklab view``), or on a thread beside a training."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thinklab.errors import ConfigError, RunError
from thinklab.view import check_installed

HOST = "127.0.0.1"
START_S = 20.0


def view(root: Path, port: int, say: Callable[[str], None]) -> None:
    """Serve the runs below ``root`` until Ctrl-C.

    Args:
        say: gets the address, once the page can be opened.

    Raises:
        RunError: when there is no such folder.
        ConfigError: when the extra is not installed, or the port is taken.
    """
    check_installed()
    if not Path(root).is_dir():
        raise RunError(f"there is no folder {root}")
    server, listening, url = _server(root, port, None)
    say(url)
    with listening:
        server.run(sockets=[listening])


@contextmanager
def beside(root: Path, port: int, desk: Any) -> Iterator[str]:
    """Serve on a thread of its own; gives the address.

    Raises:
        ConfigError: when the extra is not installed, or the port is taken.
        RunError: when it does not start.
    """
    check_installed()
    server, listening, url = _server(root, port, desk)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="thinklab-view", daemon=True)
    thread.start()
    try:
        ready = threading.Event()
        for _ in range(int(START_S / 0.02)):
            if server.started or not thread.is_alive():
                break
            ready.wait(0.02)
        if not server.started:
            raise RunError(f"the review page did not start within {START_S:.0f} s")
        yield url
    finally:
        server.should_exit = True
        thread.join(5.0)
        listening.close()


def _server(root: Path, port: int, desk: Any) -> tuple[Any, socket.socket, str]:
    import uvicorn

    from thinklab.view.access import new_token
    from thinklab.view.app import create_app

    listening = socket.socket(proto=socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's algorithm on: 40 ms an answer
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise ConfigError(f"port {port} cannot be used ({error.strerror}); choose another one, or leave it out") from error
    token, port = new_token(), listening.getsockname()[1]
    app = create_app(root, token, port, desk)
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=2
    )
    return uvicorn.Server(config), listening, f"http://{HOST}:{port}/?token={token}"
