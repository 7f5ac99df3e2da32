"""Motion capture for training: readers, the CMU corpus, and what a detector would have said of it."""
