"""Several looks at one image, each a little changed: how far their segmentations agree."""
