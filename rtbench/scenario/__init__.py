"""What is asked of every subject: the tables of a scenario, how it is loaded and checked, and its sweep cells."""
