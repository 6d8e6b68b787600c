"""Operating characteristics of `quantrial.stats`: the parts of `operating_characteristics.py`.

- `cells`: what is simulated, and how often
- `generators`: paired items with a known true difference
- `proportions`, `pooled`, `groups`, `strata`, `copies`, `packages`: what is measured in a cell
- `tables`, `charts`: limits, and how the figures are shown
"""
