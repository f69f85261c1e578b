"""Training on folders of photos. Every random choice follows from the seed, so a training can be resumed."""
