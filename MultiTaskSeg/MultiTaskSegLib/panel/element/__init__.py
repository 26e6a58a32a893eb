"""What panels are made of: lists of choices, heights and rows of tables, keys, texts of volumes, cameras."""
