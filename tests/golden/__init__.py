"""Golden files: trees as JSON next to the rendered configuration, each accepted by both HAProxy binaries."""
