"""``python -m thinklab`` is the command ``thinklab``."""

from thinklab.cli import main

main()
