"""What attention does in prompt-tuning: data model, attention models and theory."""

__version__ = "0.1.0"
