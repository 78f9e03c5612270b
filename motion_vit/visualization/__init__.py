"""What a model sees: attention, cost volumes, motion fields and class activation, brought back to the video."""
