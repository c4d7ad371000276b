"""Pictures and actions as files for people and for trainers of image-text models."""
