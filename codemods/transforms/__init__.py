"""What is done to the uses of an old name: one concern a file."""
