"""Media files that come with edgenet: the demo's video and digits, each with its source and licence."""
