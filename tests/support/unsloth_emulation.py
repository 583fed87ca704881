"""A pytest plugin (``-p tests.support.unsloth_emulation``): Unsloth's real forward, generation, LoRA and mode switches on a CPU.

All in float32. Triton's interpreter (``TRITON_INTERPRET=1``) runs the kernels. 4-bit weights (nf4, double quantization) are
bitsandbytes' own; where Unsloth would turn them back with a CUDA kernel, bitsandbytes' CPU code does. What needs a GPU is left out:
Unsloth's 4-bit kernels, its fused LoRA kernels (it skips them in float32 itself), xformers, fp16 with its scaler, and the offloading
of checkpoints. ``FastLanguageModel.from_pretrained`` is replaced by ``load``, which does with a plain load what the
original does around it: patch the classes, keep Unsloth's own record of what they were, set the longest length everywhere. Its
rotary tables are made here, since Unsloth's are made on a GPU.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import tests.support.unsloth_first  # noqa: F401  isort: skip  (imports Unsloth before anything that it patches)

import contextlib
import functools
import inspect
import sys
import types
from pathlib import Path

import torch
from bitsandbytes.functional import dequantize_4bit
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.trainer import Trainer
from unsloth import FastLanguageModel
from unsloth.kernels import rope_embedding
from unsloth.kernels import utils as kernels
from unsloth.models import llama as real

LOADED: list[str] = []
"""What was asked for, in order: a folder is one load."""


class Rotary(torch.nn.Module):
    """Unsloth's table of cosines and sines, (positions, head size) each, without its place on a GPU."""

    def __init__(self, config):
        super().__init__()
        size = config.hidden_size // config.num_attention_heads
        base = (getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10000.0)
        inverse = 1.0 / (base ** (torch.arange(0, size, 2).float() / size))
        angle = torch.outer(torch.arange(4096).float(), inverse)
        angle = torch.cat([angle, angle], -1)
        self.cos, self.sin = angle.cos(), angle.sin()

    def extend_rope_embedding(self, *_, **__):
        pass

    def get_cached(self, seq_len=None, device_index=None):
        return self.cos, self.sin

    def forward(self, x, position_ids=None, seq_len=None):
        return self.cos, self.sin


def _on_the_cpu() -> None:
    """Every place where Unsloth says on which GPU."""
    for name, module in list(sys.modules.items()):
        if name.startswith("unsloth") and module is not None:
            for attribute in ("torch_gpu_device", "torch_cuda_device"):
                if hasattr(module, attribute):
                    setattr(module, attribute, lambda *_, **__: contextlib.nullcontext())
            if hasattr(module, "DEVICE_TYPE_TORCH"):
                module.DEVICE_TYPE_TORCH = "cpu"
    rope_embedding._eviction_hints_ok = lambda device: True
    real.get_current_device = lambda *_: "cpu"
    real.DEVICE_COUNT = 1
    real._get_dtype = lambda dtype: torch.float32


def _real_switches() -> None:
    """``tests.support.unsloth_first`` took the two switches away, for tests without kernels: from the source, as they were."""
    source = Path(real.__file__).read_text("utf-8")
    begin = source.index("    @staticmethod\n    def for_inference(model):")
    space: dict = {}
    exec("class Switches:\n" + source[begin : source.index("from .rl import PatchFastRL", begin)], vars(real), space)
    for name in ("for_inference", "for_training"):
        setattr(real.FastLlamaModel, name, staticmethod(getattr(space["Switches"], name)))
        if name in vars(PeftModel):
            delattr(PeftModel, name)


def _its_training_loop() -> None:
    """``from_pretrained`` rewrites transformers' training loop by text; the same text is run here."""
    text = inspect.getsource(real.FastLlamaModel.from_pretrained)
    begin = text.index("        try:\n            if Trainer._inner_training_loop.__name__")
    end = text.index("        Trainer._inner_training_loop = _fast_inner_training_loop")
    space = vars(real)
    space["Trainer"] = Trainer
    exec("def _rewrite():\n    if True:\n" + text[begin:end] + "\n", space)
    space["_rewrite"]()
    Trainer._inner_training_loop = real._fast_inner_training_loop


def nf4() -> BitsAndBytesConfig:
    """As Unsloth quantizes, computing in float32."""
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32
    )


def _dequantized(W, quant_state=None, out=None, use_global_buffer=False):
    """``unsloth.kernels.utils.fast_dequantize`` by bitsandbytes: a packed weight that comes transposed goes back transposed."""
    if quant_state is None:
        return W
    turned = W.shape[0] == 1
    plain = dequantize_4bit((W.t() if turned else W).contiguous(), quant_state)
    return plain.t() if turned else plain


def load(model_name, max_seq_length=2048, load_in_4bit=False, **_):
    """What ``FastLanguageModel.from_pretrained`` gives, on a CPU."""
    LOADED.append(model_name)
    tokenizer = AutoTokenizer.from_pretrained(model_name, padding_side="left")
    snapshot = real._snapshot_transformers_modules(real.FastLlamaModel)
    real.FastLlamaModel.pre_patch()
    real._record_pre_patch_changes(snapshot)
    how = {"quantization_config": nf4()} if load_in_4bit else {}
    model = AutoModelForCausalLM.from_pretrained(model_name, dtype=torch.float32, **how)
    if max_seq_length > model.config.max_position_embeddings:  # Unsloth stretches the positions and declares more
        model.config.max_position_embeddings = max_seq_length
    model.model.rotary_emb = Rotary(model.config)
    for layer in model.model.layers:
        layer.self_attn.rotary_emb = model.model.rotary_emb
        layer.self_attn.apply_qkv, layer.self_attn.apply_o = real.original_apply_qkv, real.original_apply_o
    for module in model.modules():
        module.max_seq_length = max_seq_length
    model._saved_temp_tokenizer, model._unsloth_user_float32 = tokenizer, True
    for name in ("for_training", "for_inference"):
        setattr(model, name, functools.partial(getattr(real.FastLlamaModel, name), model))
    model._old_generate = model.generate
    model.generate = types.MethodType(real.unsloth_fast_generate, model)
    return model, tokenizer


kernels._fast_dequantize_bnb = _dequantized
_on_the_cpu()
_real_switches()
_its_training_loop()
FastLanguageModel.from_pretrained = staticmethod(load)
# not "unsloth": from 512 tokens on that would offload checkpoints into pinned memory, which needs a GPU
FastLanguageModel.get_peft_model = staticmethod(
    lambda model, **options: real.FastLlamaModel.get_peft_model(model, **{**options, "use_gradient_checkpointing": True})
)
