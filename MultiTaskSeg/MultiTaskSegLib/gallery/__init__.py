"""Results of many images to look through: a page of their pictures, with the table."""
