"""Items made from a seed, for work where low precision is reported to do damage: a file a sort."""
