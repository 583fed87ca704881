"""Input from outside, checked at the boundary: JSON from other programs, objects from other packages, renamed library arguments."""
