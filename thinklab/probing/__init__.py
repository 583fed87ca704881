"""Was it instilled? Rates with intervals, reach, spill-over, retention, persistence."""
