"""Behind ``thinklab.behavior``: the file, its schema and its checks, the sandboxed templates, the detectors' own parts."""
