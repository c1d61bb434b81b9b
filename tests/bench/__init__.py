"""Benchmarks against the machine's redis-server: `python tests/bench/run.py`. Never collected as tests."""
