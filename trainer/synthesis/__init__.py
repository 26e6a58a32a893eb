"""Images drawn anew from label maps: any contrast, resolution and part of the head, labelled exactly."""
