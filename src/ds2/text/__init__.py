"""Text as a model spells it: alphabets, normalisation, numbers in words."""
