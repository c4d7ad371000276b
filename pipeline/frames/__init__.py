"""Pictures of episodes: stored losslessly, shown as videos and thumbnails."""
