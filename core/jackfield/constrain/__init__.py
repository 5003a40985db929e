"""Grammar masks by phase."""
