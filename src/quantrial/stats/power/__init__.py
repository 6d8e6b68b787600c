"""Power, detectable differences and the numbers of items or clusters that a study needs."""
