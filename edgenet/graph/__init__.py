"""The graph: a small typed form of a classifier, with its readers, passes, executor and cost."""
