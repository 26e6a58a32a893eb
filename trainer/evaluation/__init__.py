"""Models measured with the shipped pipeline on labelled cases, and the page and cards of released models."""
