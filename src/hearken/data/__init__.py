"""Data: planted faults with exact truth, scenes, and readers of others' corpora."""
