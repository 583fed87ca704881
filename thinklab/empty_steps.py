"""``skip_empty_steps``: an optimizer step without any gradient leaves weights and momentum as they are.

When every group of a step earned equal rewards, or nobody was guided in a step of pure imitation, every gradient is 0. Adam
would still move the weights by momentum and weight decay, without any evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def skip_empty_steps(
    optimizer: torch.optim.Optimizer, anywhere: Callable[[torch.Tensor], torch.Tensor] = lambda found: found
) -> None:
    """Make ``optimizer.step`` do nothing if every gradient is exactly 0: no update, no decay, no change of its state.

    The check runs inside the step, after gradients were accumulated, clipped and, under fp16, unscaled: the loss scaler has
    seen the gradients by then and counts the step as usual. A non-finite gradient does not count as 0.

    Args:
        anywhere: combines a () bool over all processes. They must agree, because under FSDP each holds only a part of the
            weights.
    """

    def hook(inner: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        held = [p for group in inner.param_groups for p in group["params"] if p.grad is not None]
        if not held:
            return
        found = torch.stack([getattr(p.grad, "to_local", lambda p=p: p.grad)().any().to(held[0].device) for p in held]).any()
        if not bool(anywhere(found)):
            for p in held:
                p.grad = None

    optimizer.register_step_pre_hook(hook)
