"""Scoring: from what submissions reached to the standings, exact and reproducible, and the page that shows them."""
