"""Servers for tests: one that fails on cue, and the real one of llama.cpp."""
