"""What the model is taught, one kind of question a file."""
