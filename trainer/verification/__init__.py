"""Every defect of labelled datasets, found before any training."""
