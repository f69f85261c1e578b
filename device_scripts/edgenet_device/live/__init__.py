"""The live classifier: its loop, and the screen, page, window, recording and service that show what it sees."""
