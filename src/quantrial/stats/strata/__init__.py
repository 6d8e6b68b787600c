"""Differences of strata: whether they vary, and each of them pulled towards their mean."""
