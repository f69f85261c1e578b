"""Training on folders of photos: all that happens is a function of the seed, so that it can be resumed."""
