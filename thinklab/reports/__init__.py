"""What a person sees of a run: figures, HTML pages, tables. Views of records on disk; nothing here computes with a model."""
