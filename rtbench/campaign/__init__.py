"""All blocks of a scenario: what is checked first, in which order trials run, and the folder they are written to."""
