"""Models measured with the shipped pipeline on labelled cases, and the page of released models."""
