"""``thinklab eval``: methods x benchmarks x runs, with one table and one page in the shape of the paper's."""
