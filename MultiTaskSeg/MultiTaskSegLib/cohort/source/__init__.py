"""What a cohort is made of: the cases of a folder or a list, and when, with what and where they were made."""
