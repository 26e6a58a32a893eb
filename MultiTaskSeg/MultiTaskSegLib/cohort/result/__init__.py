"""The results of a cohort on the disk: settings, lock, journal, and a folder for each finished case."""
