"""What teams have in Neptune, as modelkiln reads and writes it: the layout of a version, exports, tracked files."""
