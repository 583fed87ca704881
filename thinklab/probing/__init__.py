"""Was the behavior learned? Rates with intervals, reach, spill-over, retention, persistence."""
