"""The report of a campaign: answer, caveats, tables, and the pages they are rendered into."""
