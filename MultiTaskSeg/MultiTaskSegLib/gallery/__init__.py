"""Results of many images to look through: pictures framed in the colour of their verdict, and a page of them."""
