"""Benchmarks, run against any endpoint; not tests."""
