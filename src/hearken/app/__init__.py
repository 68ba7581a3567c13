"""The command line and what it prints, writes and draws; on top of every other floor."""
