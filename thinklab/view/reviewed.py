"""``reviewed``: opens the review page around a training; ``check``: is a review wanted and possible?

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thinklab.config.experiment import Experiment
from thinklab.errors import ConfigError
from thinklab.view import check_installed


def check(config: Experiment) -> None:
    """Raises ConfigError if a review is requested but not possible."""
    if config.review is None or not config.review.pause:
        return
    if config.baseline is not None or config.loss.method == "grpo":
        what = "a baseline" if config.baseline is not None else "loss.method grpo"
        raise ConfigError(
            f"there is nothing to review: {what} trains without guidance. Omit --review "
            "(review.pause=false), or choose another loss.method"
        )
    if config.prime is not None:
        raise ConfigError(
            "a run with 'prime' cannot be reviewed: it imitates texts before its first batch, and nobody would have decided on "
            "those. Omit --review (review.pause=false), or remove 'prime'"
        )
    check_installed()


@contextmanager
def reviewed(session: Any) -> Iterator[None]:
    """Inside, ``session.train`` pauses at each batch, and the page is served; without a review, nothing changes.

    Raises:
        ConfigError: if the port is in use.
    """
    review = session.config.review
    if review is None or not review.pause or session.teaching.guide is None:
        yield
        return
    from thinklab.view.batch import Desk
    from thinklab.view.gate import ReviewGate, Saves
    from thinklab.view.serve import beside

    desk = Desk(session.run.path.name)
    with beside(session.run.path, review.port, desk) as url:
        session.say(f"review: decide on each batch at {url}")
        gate = ReviewGate(session, desk, url)
        trainer, before = session.trainer, (session.trainer.guide, session.trainer.recall)
        saves = Saves(session.config.train.span)
        trainer.guide, trainer.recall = gate, gate.recall
        trainer.add_callback(saves)
        try:
            yield
        finally:
            trainer.guide, trainer.recall = before
            trainer.remove_callback(saves)
            gate.hide()
