"""What labels are called and how they are shown: display names, colours and SNOMED CT terminology."""
