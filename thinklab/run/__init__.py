"""What a run leaves on disk: the folder, its lock, its records."""

from thinklab.run.folder import RunFolder

__all__ = ["RunFolder"]
