"""Runs the gateway beside its peers; see bench/README.md."""
