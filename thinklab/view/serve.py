"""uvicorn on the loopback address: ``view`` in the foreground, ``beside`` a training run on a thread."""

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
    """Serve the runs in ``root`` until Ctrl-C.

    Args:
        say: receives the address when the page is available.

    Raises:
        RunError: if there is no such folder.
        ConfigError: if the extra is not installed, or the port is in use.
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
    """Serve on a separate thread; yields the address.

    Raises:
        ConfigError: if the extra is not installed, or the port is in use.
        RunError: if it does not start.
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

    listening = socket.socket(proto=socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's algorithm on: 40 ms per response
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)  # a browser that opens the address at once waits for the server, instead of being refused
    except OSError as error:
        listening.close()
        raise ConfigError(f"port {port} cannot be used ({error.strerror}); choose another one, or omit it") from error
    token, port = new_token(), listening.getsockname()[1]
    app = create_app(root, token, port, desk)
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=2
    )
    return uvicorn.Server(config), listening, f"http://{HOST}:{port}/?token={token}"
