"""The spawner: users' servers as jobs of a scheduler."""
