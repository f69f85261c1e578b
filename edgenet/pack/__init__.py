"""A Python with LiteRT for phones, which needs nothing of Android but the kernel; built without running any of it."""
