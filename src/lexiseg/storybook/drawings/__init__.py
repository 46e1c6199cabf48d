"""Things and stuff, drawn."""
