"""A key that was renamed is read under both names: in a file, in an override and in the config.yaml of an older run."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest

from tests.conftest import ROOT
from thinklab.config.experiment import Experiment
from thinklab.config.load import load_config
from thinklab.config.resolved import RENAMED, migrated
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
    version = re.escape(f"thinklab: {metadata.version('thinklab')}")
    run.config_file.write_text(re.sub(version, "thinklab: 0.1.0", text.replace(NEW, OLD)), encoding="utf-8")
    with pytest.warns(RunWarning, match=rf"train\.{OLD} -> train\.{NEW}"):
        assert experiment_of(run) == config


def test_every_former_name_leads_to_a_key_that_exists():
    for _, names in RENAMED:
        for key in names.values():
            section, _, name = key.rpartition(".")
            assert name in Experiment.model_fields[section].annotation.model_fields


def test_version_changelog_and_renamed_keys_agree():
    """A key renamed since the last release is migrated for runs of that release, and the next release's notes name it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    log = (ROOT / "CHANGELOG.md").read_text("utf-8")
    sections = dict(re.findall(r"^## \[([^\]]+)\][^\n]*\n(.*?)(?=^## \[|\Z)", log, re.MULTILINE | re.DOTALL))
    upcoming, releases = version.removesuffix(".dev0"), [name for name in sections if name != "Unreleased"]
    if version == upcoming:
        assert releases[0] == version and "Unreleased" not in sections
    else:
        assert next(iter(sections)) == "Unreleased" and number(releases[0]) < number(upcoming)
    for since, names in RENAMED:
        assert number(since) <= number(upcoming), f"{since} comes after {version}, so its own runs would be migrated again"
        text = sections.get(since, sections.get("Unreleased") if since == upcoming else None)
        assert text is not None, f"CHANGELOG.md has no section for {since}"
        assert all(f"`{old}`" in text and f"`{new}`" in text for old, new in names.items())


@pytest.mark.parametrize("version, renamed", [("0.1.0", True), ("0.2.0.dev0", False), ("0.2.0", False), ("0.10.0", False)])
def test_a_run_of_a_release_before_the_new_name_is_migrated(version, renamed):
    config = {"train": {OLD: True}}
    found, said = migrated(config, version)
    assert found == ({"train": {NEW: True}} if renamed else config)
    assert said == ([f"train.{OLD} -> train.{NEW}"] if renamed else [])


def number(version):
    return tuple(int(part) for part in version.split("."))
