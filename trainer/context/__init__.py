"""What images may show, told from words: the family of the modality and the region of the body."""
