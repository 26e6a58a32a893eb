"""The way of one image: prepare, encode, judge, decode, label, report."""
