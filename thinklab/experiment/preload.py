"""The imports that the fork server of ``forked_run`` does once."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from thinklab.experiment.forked_run import silence

with silence():
    import thinklab.experiment.baselines
    import thinklab.experiment.probe_run
    import thinklab.experiment.session  # noqa: F401
