"""The commands of `metarl`, one file each; `cli` imports the one that is asked for."""
