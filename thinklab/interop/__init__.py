"""What comes from outside, checked where it enters: JSON of other programs, objects of other packages, names that a library changed."""
