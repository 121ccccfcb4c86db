"""What tables and captions are made of."""
