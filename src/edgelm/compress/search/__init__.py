"""The search for a recipe: which smaller shape fits a phone, or a number of parameters, and is likely to lose least."""
