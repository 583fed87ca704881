"""``python -m thinklab.cli``."""
from thinklab.cli import main

main()
