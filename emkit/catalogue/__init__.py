"""Scans and volumes on disk: found, described, searched, and what is done with many of them."""

from emkit.catalogue.catalogue import FOLDER_VARIABLE, Catalogue
from emkit.catalogue.entry import Entry, State, size_in_words
from emkit.catalogue.removing import Removal

__all__ = ["FOLDER_VARIABLE", "Catalogue", "Entry", "Removal", "State", "size_in_words"]
