"""The sentences for errors of YAML files: one for each fault, also where a union makes pydantic report several."""

from __future__ import annotations

import pytest

from thinklab.config.load import load_config
from thinklab.errors import ConfigError

BEHAVIORS = "behaviors: [self-check]\n"


@pytest.mark.parametrize(
    "text, overrides, lines",
    [
        (
            "train:\n  stepz: 3\n  steps: many\n",
            [],
            ["FILE:3:3: unknown key 'train.stepz' (did you mean 'steps'?)", "FILE:4:3: train.steps: must be a valid integer"],
        ),
        ("name: 12\n", [], ['FILE:2:1: name: must be a valid string; write "12" in quotes for a text']),
        ("guidance: {gamma: x}\n", [], ["FILE:2:12: guidance.gamma: must be a valid number"]),  # int | float: one sentence
        ("loss: {method: ass}\n", [], ["'authors' or 'sft', not 'ass' (did you mean 'aas'?)"]),
        ("train: 3\n", [], ["FILE:2:1: train: must be keys and values, not 3"]),
        ("train: {seed: '1.5'}\n", [], ["FILE:2:9: train.seed: must be a valid integer"]),
        ("", ["train.steps=x"], ["override 'train.steps=x': train.steps: must be a valid integer"]),
        ("", ["train.minibatches=7"], ["override 'train.minibatches=7': train: minibatches (7) must divide"]),
    ],
)
def test_one_sentence_for_each_fault(tmp_path, text, overrides, lines):
    file = tmp_path / "e.yaml"
    file.write_text(BEHAVIORS + text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    said = str(caught.value).replace(str(file), "FILE").splitlines()
    assert len(said) == len(lines), said
    for wanted in lines:
        assert any(wanted in line for line in said), said
    assert all("Input" not in line and "[type=" not in line for line in said)


def test_a_section_is_not_printed(tmp_path):
    """What stands in it may be nobody's business, and it would drown the rest."""
    file = tmp_path / "e.yaml"
    file.write_text(BEHAVIORS + "train: [sk-ant-secret]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="train: must be keys and values") as caught:
        load_config(file)
    assert "sk-ant" not in str(caught.value)
