"""Real images as tokens: canvases, a small vision transformer, and ways to adapt it."""
