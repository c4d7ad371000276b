"""RLDS datasets as TensorFlow Datasets lays them on disk: `from pipeline.sources.rlds.source import RldsSource`."""
