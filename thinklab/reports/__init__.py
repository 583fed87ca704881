"""Figures, HTML pages, and tables about runs. Views of records on disk; nothing here runs a model."""
