"""Runs commands with the installed thinklab, each in a process forked from this one, which has the libraries loaded.

Started by tests/docs/test_docs_commands.py with the interpreter of the environment under test. One JSON object a line on stdin,
``{"id", "argv" or "code", "cwd", "env", "log", "stdin"}``; one on stdout for each that has ended, ``{"id", "rc"}``.
Loading torch, transformers and trl takes some eight seconds of processor time, more than most of the commands.
"""

from __future__ import annotations

import json
import os
import select
import sys
import traceback


def child(job: dict) -> int:
    """Run one job in this (forked) process; returns its exit code."""
    os.chdir(job["cwd"])
    os.environ.update(job["env"])
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1), os.dup2(log, 2)
    given, write = os.pipe()
    os.write(write, job["stdin"].encode()), os.close(write)
    os.dup2(given, 0)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    try:
        if "code" in job:
            exec(compile(job["code"], job["id"], "exec"), {"__name__": "__main__"})
            return 0
        from thinklab import cli as app

        sys.argv = job["argv"]
        app.main()
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush(), sys.stderr.flush()


def main() -> None:
    import thinklab.evaluation.grid
    import thinklab.experiment.train
    import thinklab.lab.lab

    print(json.dumps({"id": "ready", "rc": 0, "thinklab": thinklab.__file__}), flush=True)
    running: dict[int, str] = {}
    pending, more = b"", True
    while more or running:
        if more and select.select([0], [], [], 0.05)[0]:
            data = os.read(0, 1 << 20)
            more, pending = bool(data), pending + data
            *lines, pending = pending.split(b"\n")
            for line in lines:
                job = json.loads(line)
                if (pid := os.fork()) == 0:
                    os._exit(child(job))
                running[pid] = job["id"]
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG if more else 0)
            if pid == 0:
                break
            print(json.dumps({"id": running.pop(pid), "rc": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
