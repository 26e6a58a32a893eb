"""Where images come from: their licence, whom to cite, what they show and how large they are."""
