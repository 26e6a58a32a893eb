"""What panels are made of, whatever they show: heights of tables, texts of volumes, cameras of views."""
