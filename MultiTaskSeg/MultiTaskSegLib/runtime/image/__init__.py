"""From a file to the network's grid: reading and distrusting images, orientation, resampling, intensity profiles."""
