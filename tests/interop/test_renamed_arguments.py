"""The names of the installed transformers, and of the other end of the range; no warning reaches a user."""

import warnings

import torch
from transformers import DynamicCache, TrainingArguments

from thinklab.config.experiment import StudentSection
from thinklab.interop.renamed_arguments import activation_checkpointing, cache_argument, is_checkpointing
from thinklab.students import load_student


class Older:
    """A model whose forward has the name of transformers before 5.24."""

    def forward(self, input_ids, past_key_values=None):
        raise NotImplementedError


class Newer(Older):
    def forward(self, input_ids, cache=None):
        raise NotImplementedError


class Wrapped:
    """As PEFT wraps a model: a forward that names nothing."""

    def get_base_model(self):
        return Newer()

    def forward(self, *args, **kwargs):
        raise NotImplementedError


def test_the_cache_goes_in_by_the_name_that_the_forward_has():
    cache = object()
    assert cache_argument(Older(), cache) == {"past_key_values": cache}
    assert cache_argument(Newer(), cache) == {"cache": cache}
    assert cache_argument(Wrapped(), cache) == {"cache": cache}


def test_the_installed_names_warn_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        for on in (True, False):
            args = TrainingArguments(str(tmp_path), use_cpu=True, **activation_checkpointing(on))
            assert args.gradient_checkpointing is on
        model = load_student(StudentSection(kind="embedded")).model
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=True, **cache_argument(model, cache))
        assert cache.get_seq_length() == 3
        assert not is_checkpointing(model)
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        assert is_checkpointing(model)
