"""What the studies of papers' claims share: jobs that are done once, comparisons over seeds, tables."""
