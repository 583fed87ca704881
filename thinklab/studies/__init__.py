"""Studies: arms x seeds x base experiments, each cell an ordinary ``thinklab train``.

``study.py`` reads the file, ``run.py`` runs it."""
