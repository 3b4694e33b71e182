"""Real images as tokens: handwritten digits among patches of photographs."""
