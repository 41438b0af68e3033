"""Which transport for these needs: the options, and how they rank."""
