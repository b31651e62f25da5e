"""What all pages have in common: a visit and its answer, forms, texts, and refusals as pages."""
