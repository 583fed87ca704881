"""A pytest plugin (``-p tests.support.gpu_first``): imports Unsloth before anything that it patches."""

try:
    import unsloth  # noqa: F401
except (ImportError, NotImplementedError):  # the tests then skip, with the reason
    pass
