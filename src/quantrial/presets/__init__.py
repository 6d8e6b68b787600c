"""Study files that `init` writes."""
