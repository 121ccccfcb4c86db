"""Images are decoded, resized and augmented."""
