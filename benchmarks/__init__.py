"""Speed as ratios against something a reader knows, taken in one run; see README.md."""
