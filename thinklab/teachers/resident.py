"""``SelfTeacher`` (the student's own frozen base) and ``LocalTeacher`` (another HF model), in this process.

``self`` is the paper's teacher of the same size without a second model in memory: the adapter is switched off, the base
answers greedily, and afterward the adapter, gradient flags, module modes, and random state are restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from thinklab.config.hardware import best_device, gpu_random_state, set_gpu_random_state
from thinklab.errors import ConfigError, TeacherError
from thinklab.interop.upstream_bars import loading_bars
from thinklab.sampler import Sampler, max_positions
from thinklab.sampler.static import sampler_for
from thinklab.teachers.safety import MAX_CHARS, shielded
from thinklab.teachers.self_test import prove
from thinklab.teachers.thinking import ONLY_THINKING, without_thinking
from thinklab.teachers.unpatched import unpatched
from thinklab.types import Example, Message, TeacherReply, TeacherRequest, Usage


@runtime_checkable
class Loaded(Protocol):
    """A student with more than ``model`` and ``tokenizer``, such as a ``thinklab.students.Student``."""

    source: str
    """The folder or hub id that it was loaded from."""
    chat_template_kwargs: dict[str, Any]
    """Variables of its chat template."""


class SelfTeacher:
    """The student without its adapter.

    Args:
        student: an object with ``model`` and ``tokenizer``. With a ``PeftModel`` its frozen base replies; a plain model
            replies in its current state, so it is not a fixed teacher once trained.
        max_tokens: maximum reply length; 0: as set by each request.
        rows: replies generated at once; 0 = all. Smaller needs less memory.
        max_student_chars: longer answers are shortened in the middle.

    The chat template gets the student's own ``chat_template_kwargs``.

    Raises:
        TeacherError: if the tokenizer has no chat template, or the adapter is merged into the base.
    """

    def __init__(self, student: Any, max_tokens: int = 0, rows: int = 16, max_student_chars: int = MAX_CHARS) -> None:
        self.name = "self"
        self._student = student
        self._what = f"self:{(isinstance(student, Loaded) and student.source) or type(student.model).__name__}"
        self._limits = (max_tokens, rows, max_student_chars)
        self.check()

    def check(self) -> None:
        """Raises:
        TeacherError: see the class.
        """
        _check_tokenizer(self._student.tokenizer, "the student")
        check_base(self._student, "'self'")

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """Greedy replies; the same model and text give the same reply."""
        model = self._student.model
        with as_found(model), adapter_off(model):
            return _generate(
                model,
                self._student.tokenizer,
                requests,
                self._what,
                *self._limits,
                self._student.chat_template_kwargs if isinstance(self._student, Loaded) else {},
            )


class LocalTeacher:
    """Another causal LM in this process, loaded at its first request.

    Args:
        model: folder or hub id of an instruct model.
        bits: 16 as stored (float16 on a GPU without bf16), or 4 (nf4; needs the package bitsandbytes).
        device: such as ``cuda``; empty: a GPU if there is one (an Apple GPU is ``mps``).
        max_tokens, rows, max_student_chars: as for ``SelfTeacher``.
        chat_template_kwargs: variables of the model's chat template, such as ``{enable_thinking: false}``.

    Raises:
        ConfigError: for other ``bits``.
        TeacherError: when it cannot be loaded.
    """

    def __init__(
        self,
        model: str,
        bits: int = 16,
        device: str = "",
        max_tokens: int = 0,
        rows: int = 16,
        max_student_chars: int = MAX_CHARS,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if bits not in (4, 16):
            raise ConfigError(f"teacher option bits: 16 (as stored) or 4, not {bits!r}")
        self.name, self.source, self.bits = "local", model, bits
        self.device = device or best_device()
        if bits == 4 and self.device.startswith("mps"):
            raise ConfigError("teacher option bits: 4 does not work on an Apple GPU (mps); set bits=16, or device=cpu")
        self._limits = (max_tokens, rows, max_student_chars)
        self._template_kwargs = chat_template_kwargs or {}
        self._loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None

    def check(self) -> None:
        """Loads the model, so that a failure shows before the run starts.

        Raises:
            TeacherError: see the class.
        """
        self._load()

    def reply(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        """Greedy replies."""
        model, tokenizer = self._load()
        what = f"local:{Path(self.source).name}" + (" 4-bit" if self.bits == 4 else "")
        with unpatched():
            return _generate(model, tokenizer, requests, what, *self._limits, self._template_kwargs)

    def _load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        if self._loaded is None:
            if self.source.startswith((".", "/", "~")) and not Path(self.source).expanduser().is_dir():
                raise TeacherError(
                    f"the teacher's model {self.source!r} is not a folder on this machine; use an existing folder or a hub id"
                )
            from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

            from thinklab.config.devices import default_dtype

            half = default_dtype() if self.device.startswith("cuda") else torch.bfloat16
            if self.device.startswith("mps"):
                half = torch.float16  # bfloat16 needs macOS 14
            how: dict[str, Any] = {"dtype": "auto" if half is torch.bfloat16 else half, "device_map": {"": self.device}}
            if self.bits == 4:
                how["quantization_config"] = BitsAndBytesConfig(
                    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=half
                )
            try:
                with unpatched(), loading_bars():
                    tokenizer = AutoTokenizer.from_pretrained(self.source, padding_side="left")
                    model = AutoModelForCausalLM.from_pretrained(self.source, **how)
            except (OSError, ValueError, ImportError, RuntimeError) as error:
                raise TeacherError(f"the teacher's model {self.source!r} cannot be loaded: {error}") from error
            _check_tokenizer(tokenizer, repr(self.source))
            model = model.eval().requires_grad_(False)
            with unpatched(), as_found(model):
                prove(model, tokenizer, greedy(model, tokenizer), f"'local' ({self.source})")
            self._loaded = model, tokenizer
        return self._loaded


def check_base(student: Any, name: str) -> None:
    """
    Args:
        student: its base is the teacher ``name``.

    Raises:
        TeacherError: if the adapter is merged into the base, or the base does not generate what its logits say.
    """
    model, tokenizer = student.model, student.tokenizer
    if any(getattr(m, "merged", False) for m in model.modules()):
        raise TeacherError(
            f"the teacher {name} needs the unmodified base, but the adapter is merged into it: call unmerge_adapter() on the "
            "model first"
        )
    with as_found(model), adapter_off(model):
        prove(model, tokenizer, greedy(model, tokenizer), name)


@contextmanager
def adapter_off(model: torch.nn.Module) -> Iterator[None]:
    """The base model without its adapters; a model without adapters is unchanged."""
    adapted: Any = model
    if not hasattr(adapted, "peft_config"):
        yield
        return
    with adapted.disable_adapter():
        yield


@contextmanager
def as_found(model: torch.nn.Module) -> Iterator[None]:
    """Restores everything that generation may change: each module's mode, each parameter's flag, and torch's random states.

    ``model.train()`` would set all modules the same, and PEFT's ``disable_adapter`` always enables gradients for the active
    adapter on exit.
    """
    modes = [(m, m.training) for m in model.modules()]
    flags = [(p, p.requires_grad) for p in model.parameters()]
    state = torch.random.get_rng_state()
    gpu = gpu_random_state()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            if parameter.requires_grad != flag:
                parameter.requires_grad_(flag)
        torch.random.set_rng_state(state)
        set_gpu_random_state(gpu)


def _generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[TeacherRequest],
    what: str,
    max_tokens: int,
    rows: int,
    max_student_chars: int,
    template_kwargs: dict[str, Any],
) -> list[TeacherReply]:
    replies: list[TeacherReply | None] = [None] * len(requests)
    prompts: dict[int, list[int]] = {}
    room = max_positions(model)
    control = (*tokenizer.all_special_tokens, *tokenizer.get_added_vocab())
    for k, request in enumerate(requests):
        ids = _encode(tokenizer, shielded(request, max_student_chars, control), template_kwargs)
        longest = max_tokens or request.max_tokens
        if room is not None and len(ids) + longest > room:
            replies[k] = TeacherReply(
                request.id,
                error="prompt-too-long",
                model=what,
                attempts=0,
                detail=f"{len(ids)} tokens and a reply of up to {longest}; the model's limit is {room}",
            )
        else:
            prompts[k] = ids
    for longest in sorted({max_tokens or requests[k].max_tokens for k in prompts}):
        places = [k for k in prompts if (max_tokens or requests[k].max_tokens) == longest]
        places.sort(key=lambda k: len(prompts[k]))  # less padding within a batch
        sampler = greedy(model, tokenizer, longest, rows)
        for k, ids in zip(places, sampler(model, [prompts[k] for k in places]), strict=True):
            usage = Usage(len(prompts[k]), len(ids))
            text = tokenizer.decode(ids, skip_special_tokens=True)
            assert isinstance(text, str), "the ids of one text decode to one text"
            reply = without_thinking(TeacherReply(requests[k].id, text, model=what, usage=usage))
            thought = reply.usage.thinking_tokens
            if not sampler.finished(ids):
                some = f", about {thought} of them thinking" if thought else ""
                reply = replace(reply, error="max-tokens", detail=f"no end after {longest} tokens{some}")
            elif not reply.text.strip():
                reply = replace(reply, error="empty", detail=ONLY_THINKING if thought else "the reply has no text")
            replies[k] = reply
    return [r for r in replies if r is not None]


def greedy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int = 1, rows: int = 0) -> Sampler:
    """The greedy sampler that fits ``model``: an Unsloth student's own generation, or thinklab's."""
    return sampler_for(model)(max_tokens, _eos_ids(model, tokenizer), _pad_id(tokenizer), temperature=0, rows=rows)


def instructions(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], template_kwargs: dict[str, Any]) -> list[int]:
    """Ids of everything in the prompt besides question and answer: rules, examples, data markers, the chat template."""
    request = TeacherRequest(id="", messages=tuple(messages), example=Example("", "", ""), response="", behavior="")
    control = (*tokenizer.all_special_tokens, *tokenizer.get_added_vocab())
    return _encode(tokenizer, shielded(request, MAX_CHARS, control), template_kwargs)


def _encode(tokenizer: PreTrainedTokenizerBase, request: TeacherRequest, template_kwargs: dict[str, Any]) -> list[int]:
    def ids(messages: list[dict[str, str]]) -> list[int]:
        encoded: Any = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, **template_kwargs
        )
        found: list[int] = encoded["input_ids"]
        return found

    messages = [dict(m) for m in request.messages]
    try:
        return ids(messages)
    except Exception as error:  # some templates have no system role, and raise various errors
        if messages[0]["role"] != "system" or len(messages) < 2:
            raise TeacherError(f"the chat template of the teacher's model rejects the conversation: {error}") from error
        first = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
        try:
            return ids([first, *messages[2:]])
        except Exception as again:
            raise TeacherError(f"the chat template of the teacher's model rejects the conversation: {again}") from again


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    declared = model.generation_config.eos_token_id
    declared = [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
    return tuple(dict.fromkeys([tokenizer.eos_token_id, *declared]))


def _pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _check_tokenizer(tokenizer: PreTrainedTokenizerBase, whose: str) -> None:
    for needed, what in ((tokenizer.chat_template, "chat template"), (tokenizer.eos_token_id is not None, "EOS token")):
        if not needed:
            raise TeacherError(f"the tokenizer of {whose} has no {what}, so it cannot teach; use an instruct model")
