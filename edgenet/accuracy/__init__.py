"""What counts of right and wrong answers allow to be said; knows nothing of files, photos or networks."""
