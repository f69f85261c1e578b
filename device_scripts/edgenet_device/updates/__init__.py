"""Updates that a device fetches itself: a signed index and a signed bundle, over HTTPS."""
