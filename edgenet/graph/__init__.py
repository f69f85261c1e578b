"""The graph: one small typed form of a classifier, its readers, passes, executor and cost."""
