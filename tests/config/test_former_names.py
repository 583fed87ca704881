"""A key that was renamed is read under both names: in a file, in an override and in the config.yaml of an older run."""

from __future__ import annotations

import pytest

from thinklab.config.experiment import Experiment
from thinklab.config.load import load_config
from thinklab.config.resolved import RENAMED
from thinklab.errors import ConfigError, RunWarning
from thinklab.run.config_of_run import experiment_of
from thinklab.run.folder import RunFolder

OLD, NEW = "dry_run", "longest_batch_first"


def file(tmp_path, train=""):
    path = tmp_path / "e.yaml"
    path.write_text(f"behaviors: [self-check]\ntrain:\n  steps: 3\n{train}", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", [OLD, NEW])
def test_either_name_is_read_and_only_the_new_one_is_written(tmp_path, name):
    config = load_config(file(tmp_path, f"  {name}: true\n"))
    assert config.train.longest_batch_first is True
    assert config.model_dump(mode="json")["train"][NEW] is True and OLD not in config.model_dump(mode="json")["train"]


@pytest.mark.parametrize("written", ["", OLD, NEW])
@pytest.mark.parametrize("override", [OLD, f"train.{OLD}", NEW, f"train.{NEW}"])
def test_an_override_wins_by_either_name(tmp_path, written, override):
    config = load_config(file(tmp_path, written and f"  {written}: true\n"), [f"{override}=false"])
    assert config.train.longest_batch_first is False


def test_both_names_in_one_file_are_an_error_and_a_wrong_value_is_found_in_its_line(tmp_path):
    with pytest.raises(ConfigError, match=rf"e\.yaml:5:3: unknown key 'train\.{OLD}'"):
        load_config(file(tmp_path, f"  {NEW}: true\n  {OLD}: true\n"))
    with pytest.raises(ConfigError, match=rf"e\.yaml:4:3: train\.{OLD}: .*valid boolean"):
        load_config(file(tmp_path, f"  {OLD}: perhaps\n"))


def test_a_run_folder_with_the_former_name_can_be_read(tmp_path):
    config = load_config(file(tmp_path), [f"{NEW}=true"])
    run = RunFolder.create(tmp_path / "run", config.model_dump(mode="json"), {})
    text = run.config_file.read_text("utf-8")
    assert f"{NEW}: true" in text
    run.config_file.write_text(text.replace(NEW, OLD), encoding="utf-8")
    with pytest.warns(RunWarning, match=rf"train\.{OLD} -> train\.{NEW}"):
        assert experiment_of(run) == config


def test_every_former_name_leads_to_a_key_that_exists():
    for _, names in RENAMED:
        for key in names.values():
            section, _, name = key.rpartition(".")
            assert name in Experiment.model_fields[section].annotation.model_fields
