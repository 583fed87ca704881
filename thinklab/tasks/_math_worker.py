"""The process in which math-verify runs: JSON requests on stdin, verdicts on stdout.

A separate process, because nothing else can stop hostile LaTeX: math-verify's own timeout is a signal, which works only
on the main thread and cannot interrupt one long step in C (a power with a billion digits). This one can be killed.
Started by path and not as a module, so that it imports math-verify and nothing of thinklab.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys

from math_verify import parse, verify

STEP_SECONDS = 1 if os.name == "posix" else None  # the soft limit, for each of two parses and one comparison
MEMORY_BYTES = 4 << 30


def judge(answer: str, gold: str) -> bool:
    parsed = [parse(f"\\boxed{{{text}}}", parsing_timeout=STEP_SECONDS) for text in (gold, answer)]
    return bool(verify(*parsed, timeout_seconds=STEP_SECONDS))


def main() -> None:
    logging.disable(logging.CRITICAL)
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    except (ImportError, ValueError, OSError):
        pass  # Windows, or not permitted: the time limit still applies
    judge("\\frac{1}{2}", "0.5")  # the first call builds the parser
    replies = sys.stdout
    sys.stdout = sys.stderr = io.StringIO()  # whatever a parser prints must not look like a verdict
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        sys.stdout.truncate(0)
        answer, gold = json.loads(line)
        try:
            verdict = judge(answer, gold)
        except Exception:
            verdict = False
        print(int(verdict), file=replies, flush=True)


if __name__ == "__main__":
    main()
