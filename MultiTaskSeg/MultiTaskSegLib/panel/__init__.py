"""What the panels of both Slicer modules share: texts about results and the installation of packages."""
