"""``refuse_what_breaks``: refuses TRL options that would silently treat teacher tokens wrongly in the loss."""

from __future__ import annotations

from trl import GRPOConfig

from thinklab.errors import ConfigError

LOSS_TYPES = ("grpo", "bnpo", "dr_grpo", "dapo")
"""The losses that accept the weight as part of the advantage."""


def steps_per_generation(args: GRPOConfig) -> int:
    """Micro-batches per generation; ``GRPOConfig`` fills it in."""
    assert args.steps_per_generation is not None
    return args.steps_per_generation


def refuse_what_breaks(args: GRPOConfig) -> None:
    """
    Raises:
        ConfigError: for the first unsupported option, with the supported value.
    """
    wrong = [
        (args.importance_sampling_level != "token", "importance_sampling_level", "token"),
        (args.loss_type not in LOSS_TYPES, "loss_type", f"one of {', '.join(LOSS_TYPES)}"),
        (args.top_entropy_quantile < 1.0, "top_entropy_quantile", "1.0"),
        (args.use_liger_kernel, "use_liger_kernel", "False"),
        (args.off_policy_mask_threshold is not None, "off_policy_mask_threshold", "None"),
        (bool(args.entropy_coef) or args.use_adaptive_entropy, "entropy_coef / use_adaptive_entropy", "0 / False"),
    ]
    for broken, name, needed in wrong:
        if broken:
            value = getattr(args, name.split(" ")[0])
            raise ConfigError(f"{name}={value!r} does not work with teacher tokens in the loss; set it to {needed}")
    if args.loss_type == "bnpo" and steps_per_generation(args) % args.gradient_accumulation_steps:
        raise ConfigError(
            f"loss_type='bnpo' needs a steps_per_generation (now {args.steps_per_generation}) that is a multiple "
            f"of gradient_accumulation_steps (now {args.gradient_accumulation_steps}): its mean is over the tokens "
            "of an optimizer step, which must come from one generation"
        )
