"""Media that come with edgenet: the video of the demo, with its source and licence."""
