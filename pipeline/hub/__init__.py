"""A dataset repository on a Hugging Face hub: what goes up, its card, the way there and the way back."""
