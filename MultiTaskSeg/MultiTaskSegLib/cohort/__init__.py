"""Cohorts: thousands of images through the workers of a cluster, resumable, with one table and one page."""
