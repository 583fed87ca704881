import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer

from tests.support.tiny_llama import random_llama
from thinklab.errors import TeacherError
from thinklab.students import TINY
from thinklab.teachers import load_teacher
from thinklab.teachers.resident import adapter_off
from thinklab.teachers.safety import shielded


class Student:
    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY)


@pytest.fixture
def base(tokenizer):
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return random_llama(len(tokenizer), 64, 128, layers=2, heads=2, seed=1, max_position_embeddings=4096, **ids)


@pytest.fixture
def student(base, tokenizer):
    """The base with an adapter that changes it a lot, in a state that nobody would restore by accident."""
    plain = copy.deepcopy(base).eval()
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=64, lora_dropout=0.3, target_modules=["q_proj", "down_proj"]))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.train()
    frozen = next(p for n, p in model.named_parameters() if "lora_A" in n)
    frozen.requires_grad_(False)
    model.base_model.model.model.layers[1].eval()
    return Student(model, tokenizer), plain


def state(model):
    return (
        [m.training for m in model.modules()],
        [p.requires_grad for p in model.parameters()],
        [p.detach().clone() for p in model.parameters()],
        model.active_adapters,
        model.get_model_status().enabled,
        torch.random.get_rng_state(),
        model.config.to_dict(),
    )


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.slow
def test_self_is_bit_identical_to_the_base_and_leaves_everything_as_found(student, tokenizer, ask):
    student, plain = student
    requests = [*ask(3), *ask(2, start=7, response="9")]
    before = state(student.model)
    replies = load_teacher("self", student=student, max_tokens=12, rows=2).reply(requests)
    after = state(student.model)
    assert all(same(x, y) for x, y in zip(before, after, strict=True))
    expected = load_teacher("self", student=Student(plain, tokenizer), max_tokens=12, rows=2).reply(requests)
    assert [r.text for r in replies] == [r.text for r in expected] and any(r.text for r in replies)
    merged = Student(copy.deepcopy(student.model).eval().merge_and_unload(), tokenizer)
    with_adapter = load_teacher("self", student=merged, max_tokens=12, rows=2).reply(requests)
    assert [r.text for r in with_adapter] != [r.text for r in replies]  # the adapter would have shown


def test_the_logits_without_the_adapter_are_those_of_the_base(student):
    student, plain = student
    ids = torch.arange(2, 60)[None]
    student.model.eval()
    with torch.no_grad():
        with adapter_off(student.model):
            off = student.model(ids).logits
        on, base = student.model(ids).logits, plain(ids).logits
    assert torch.equal(off, base) and not torch.equal(on, base)


def test_it_is_restored_after_a_failure_too(student, ask, monkeypatch):
    student, _ = student
    teacher = load_teacher("self", student=student, max_tokens=4)
    before = state(student.model)
    monkeypatch.setattr(student.model.base_model.model.lm_head, "forward", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        teacher.reply(ask(1))
    assert all(same(x, y) for x, y in zip(before, state(student.model), strict=True))


def test_greedy_replies_repeat_and_do_not_depend_on_the_seed(student, ask):
    teacher = load_teacher("self", student=student[0], max_tokens=6)
    first = teacher.reply(ask(2))
    torch.manual_seed(99)
    assert teacher.reply(ask(2)) == first
    assert first[0].error in ("max-tokens", "") and first[0].usage.input_tokens > 50 and first[0].usage.output_tokens <= 6
    assert first[0].model == "self:PeftModel"


def test_what_does_not_fit_is_said(student, ask):
    teacher = load_teacher("self", student=student[0], max_tokens=4000)
    reply = teacher.reply(ask(1))[0]
    assert reply.error == "prompt-too-long" and "limit is 4096" in reply.detail


def test_a_merged_adapter_or_a_bare_tokenizer_is_refused(student, tokenizer):
    student, plain = student
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    with pytest.raises(TeacherError, match="no chat template"):
        load_teacher("self", student=Student(plain, bare))
    student.model.merge_adapter()
    with pytest.raises(TeacherError, match="unmerge_adapter"):
        load_teacher("self", student=student)


def test_control_tokens_in_the_answer_are_encoded_as_text(tokenizer, ask):
    request = ask(1, response="7<eos><pad> done")[0]
    safe = shielded(request, control_tokens=tokenizer.all_special_tokens)
    ids = tokenizer.apply_chat_template([dict(m) for m in safe.messages], tokenize=True, return_dict=True)["input_ids"]
    assert not {tokenizer.eos_token_id, tokenizer.pad_token_id} & set(ids)


def test_local_loads_another_model(base, tokenizer, tmp_path, ask):
    base.eval().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    teacher = load_teacher("local", model=str(tmp_path), max_tokens=6)
    teacher.check()
    replies, same_model = teacher.reply(ask(2)), load_teacher("self", student=Student(base, tokenizer), max_tokens=6)
    assert [r.text for r in replies] == [r.text for r in same_model.reply(ask(2))]
    assert replies[0].model == f"local:{tmp_path.name}"
    with pytest.raises(TeacherError, match="is not a folder on this machine"):
        load_teacher("local", model=str(tmp_path / "nowhere")).check()
    (tmp_path / "empty").mkdir()
    with pytest.raises(TeacherError, match="cannot be loaded"):
        load_teacher("local", model=str(tmp_path / "empty")).check()


def test_local_in_four_bits(base, tokenizer, tmp_path, ask):
    pytest.importorskip("bitsandbytes")
    base.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    reply = load_teacher("local", model=str(tmp_path), bits=4, max_tokens=4).reply(ask(1))[0]
    assert reply.model.endswith("4-bit") and reply.usage.output_tokens > 0
