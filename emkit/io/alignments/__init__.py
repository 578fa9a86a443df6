"""Alignments as other programs keep them, one format a file; `placed` holds what all of them say."""
