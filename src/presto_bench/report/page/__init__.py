"""The result as one page: numbers, pictures, doubts and steps, in a file that needs no network."""
