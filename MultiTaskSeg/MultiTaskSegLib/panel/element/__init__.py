"""What panels are made of: lists of choices, heights of tables, texts of volumes, cameras of views."""
