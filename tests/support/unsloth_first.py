"""A pytest plugin (``-p tests.support.unsloth_first``): imports Unsloth before anything that it patches, without a GPU.

``UNSLOTH_ALLOW_CPU=1`` leaves TRL unpatched, so the patching is called by hand. What runs on a GPU alone is left out: the
kernels, 4-bit loading, Unsloth's gradient checkpointing; its two mode switches become PyTorch's.
"""

import os
import tempfile

os.environ.update(
    UNSLOTH_ALLOW_CPU="1",
    CUDA_VISIBLE_DEVICES="",
    HF_HUB_OFFLINE="1",
    UNSLOTH_COMPILE_LOCATION=os.path.join(tempfile.mkdtemp(), "compiled"),
)
import unsloth  # noqa: F401
from unsloth.models import rl
from unsloth.models.llama import FastLlamaModel

rl.patch_trl_disable_gradient_checkpointing()
rl._patch_trl_rl_trainers("grpo_trainer")  # trl.GRPOTrainer is UnslothGRPOTrainer from here on


def for_training(model, use_gradient_checkpointing=None):
    return model.train()


def for_inference(model):
    return model.eval()


FastLlamaModel.for_training, FastLlamaModel.for_inference = staticmethod(for_training), staticmethod(for_inference)
from peft import PeftModel  # noqa: E402

PeftModel.for_training, PeftModel.for_inference = for_training, for_inference
