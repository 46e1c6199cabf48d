"""Value types, vocabularies, images and files: what every other package builds on."""
