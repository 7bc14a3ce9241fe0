"""Golden files: trees as JSON beside the configuration that they give, each accepted by both HAProxy binaries."""
