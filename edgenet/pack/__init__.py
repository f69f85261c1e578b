"""The pack: a Python with LiteRT for phones.

The pack needs only Android's kernel, and is built on this machine without running any of its programs.
"""
