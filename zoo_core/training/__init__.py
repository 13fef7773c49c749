"""Training: the data, the loop around a plugin's training step, checkpoints, and the GAN's own step."""
