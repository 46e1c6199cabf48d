"""The loop, and all that every training needs."""
