"""The ``config.yaml`` of a run as a config: where its errors stand."""

import pytest

from thinklab.config import load_config
from thinklab.errors import ConfigError

RUN = """\
config:
  name: again
  behaviors: [self-check]
  loss:
    floor: 0.1
    c_max: 0.2
versions: {thinklab: 0.1.0}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(RUN, encoding="utf-8")
    return path


def test_a_fault_of_two_keys_names_the_line_of_the_first_that_is_written(file):
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert str(error.value).startswith(f"{file}:6:1: loss") and "floor" in str(error.value)


def test_a_key_that_is_not_written_leaves_the_line_to_the_other(file):
    file.write_text(RUN.replace("    c_max: 0.2\n", "").replace("0.1\n", "0.000001\n"), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert str(error.value).startswith(f"{file}:5:1: loss")


def test_an_unknown_key_has_the_line_of_the_section_around_it(file):
    file.write_text(RUN.replace("floor", "flor"), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"{file}:5:1: .*flor"):
        load_config(file)
