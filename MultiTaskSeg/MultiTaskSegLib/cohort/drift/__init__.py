"""Drift: how scores, expected Dice and volumes of a cohort move over date, scanner and site, and whether by chance."""
