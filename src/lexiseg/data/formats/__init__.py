"""Files of the field's formats, read, checked and written."""
