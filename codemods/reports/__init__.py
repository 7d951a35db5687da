"""Outcomes of a run in, text out: one format a file."""
