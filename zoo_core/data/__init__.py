"""Data: what is trained on and measured against.

training_data  TrainingData: samples, labels, and what is known of both
opening        what `--data` names, found
image_source   pictures on their way to samples: decoded, cached, or decoded as they are needed
decoding       from encoded pictures to pixels
cache          decoded pictures on disk
source_files   the files that a data set was read from, and whether they changed
fingerprint    one sha256 over samples and labels
"""

__all__ = ["cache", "decoding", "fingerprint", "image_source", "opening", "source_files", "training_data"]
