"""Results for trackers of experiments: a file each, by the tracker's own client."""
