"""Segmenting over HTTP, with a page in the browser."""
