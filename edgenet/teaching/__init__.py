"""Teaching a pretrained network new classes: features, the linear head on them, honest splits, fine-tuning."""
