"""LeRobotDataset v3.0 out."""
