"""The experiment on calibration: are the probabilities right, and what is the uncertainty of a result worth?"""
