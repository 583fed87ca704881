"""``through_wrapper``: a function called inside a data-parallel wrapper's forward, so that its gradient hooks are set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def through_wrapper(wrapper: nn.Module, plain: nn.Module, function: Callable[..., Tensor], *args: Any) -> Tensor:
    """``function(plain, *args)``, with ``plain``'s own ``forward`` in place while it runs.

    Args:
        wrapper: such as ``DistributedDataParallel``; calls ``plain`` once in its forward pass.
    """
    own = plain.__dict__.get("forward")  # set on the module itself by Unsloth and by accelerate's autocast

    def stand_in(*given: Any) -> Tensor:
        put_back()
        return function(plain, *given)

    def put_back() -> None:
        if own is None:
            plain.__dict__.pop("forward", None)
        else:
            plain.forward = own

    plain.forward = stand_in
    try:
        found: Tensor = wrapper(*args)
        return found
    finally:
        put_back()
