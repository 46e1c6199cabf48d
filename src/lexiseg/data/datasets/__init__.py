"""One file per family of data sets, and what they share: `spec` (find, open, check), `folders` and `prepare`."""
