"""Pictures of results: framed in the colour of their verdict, and as files in memory."""
