"""Media that come with edgenet: the video and the digits of the demo, each with its source and licence."""
