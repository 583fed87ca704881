"""What the packages offer under ``__all__``: each name is there, although most are loaded only when they are used."""

import importlib
import pkgutil

import pytest

import thinklab

PACKAGES = ["thinklab", *(m.name for m in pkgutil.walk_packages(thinklab.__path__, "thinklab.") if m.ispkg)]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_that_a_package_offers_can_be_loaded(package):
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None
