"""One file per family of data sets, and what they share: `entry` (find, open, check), `files` and `making`."""
