"""What a run leaves and says: its folder, progress, curves, pictures, HTML report, published JSON."""
