"""Whether the code can still read what was written: by the schema file, and by what is stored."""
