"""What answers show beside their scores: how they were read, how they fail, what changed."""
