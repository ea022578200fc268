"""Text in the form that a model spells: alphabets, normalisation, numbers in words."""
