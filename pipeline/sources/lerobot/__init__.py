"""LeRobotDataset v3.0 in: our own exports exactly, those of others as they say they are."""
