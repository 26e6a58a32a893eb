"""Overlap and Dice, lesions found, and every interval and p-value of the trainer."""
