"""Events: what the live camera tells others when a label comes and goes, and the sinks that act on it.

`watcher` turns answers into happenings, `event` makes events of them, `hub` hands these to the sinks, each in a thread
of its own, and every other file is one sink or a part of some. docs/events.md describes it for users.
"""
