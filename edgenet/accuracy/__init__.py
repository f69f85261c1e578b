"""Statistics on counts of right and wrong answers; independent of files, photos and networks."""
