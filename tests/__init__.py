"""A package, so that files in folders that are packages may have the same name."""
