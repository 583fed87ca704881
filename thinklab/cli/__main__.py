"""``python -m thinklab.cli.app``."""
from thinklab.cli.app import main

main()
