"""The command line."""


def main() -> None:
    """Entry point of ``thinklab``."""
    from thinklab.cli.app import main as run

    run()
