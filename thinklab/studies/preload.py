"""What the fork server of ``worker`` loads once, quietly: libraries say things on import that concern nobody here."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from thinklab.studies.worker import silence

with silence():
    import thinklab.baselines
    import thinklab.experiment
    import thinklab.probing.full
    import thinklab.training  # noqa: F401
