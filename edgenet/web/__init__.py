"""The web page that runs a bundle's model in a browser on its camera: files, server, latency reports."""
