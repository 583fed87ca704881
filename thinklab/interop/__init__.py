"""Input from outside, checked at the boundary: JSON, objects of other packages, renamed arguments of libraries."""
