"""No key, cache or proxy of the person who runs the tests, as for the teachers."""

from tests.teachers.conftest import *  # noqa: F403
