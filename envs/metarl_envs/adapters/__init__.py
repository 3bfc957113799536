"""Task families on the other side of an interface that the field agrees on."""
