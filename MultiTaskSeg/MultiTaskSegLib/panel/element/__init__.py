"""What panels are made of, whatever they show: lists of choices, heights of tables, texts of volumes, cameras of views."""
