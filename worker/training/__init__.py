"""What a trial is trained with, in the training process: data, candidates, scores, models."""
