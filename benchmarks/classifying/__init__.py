"""The parts of the teaching benchmark: photo sets and their sources, teaching methods, kept results, and the goal."""
