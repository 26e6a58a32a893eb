"""The experiment on failures: which confidence of an image tells best that its segmentation is bad?"""
