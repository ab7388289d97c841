"""What only the store in MongoDB has."""
