"""`make reproduce`: the runs behind every published table."""
