"""The stages: one file each, read from its Config down to its save. Here the siblings meet."""
