"""Feature extractors: networks in whose features samples and data are compared.

opening        extractors by name, those of the core and of plugins, and their weights
digits         a small classifier of MNIST, bundled
spoken_digits  a small classifier of spoken digits, for short sounds, bundled
random_vgg     a VGG with fixed random weights, for pictures of any kind
efficientnet   a small classifier of ImageNet, whose weights are an extra
inception      the Inception of FID, for which the user provides the weights
bundled        reads the weights that zoo-core bundles
resampling     sounds at the rate that an extractor takes
"""

__all__ = ["bundled", "digits", "efficientnet", "inception", "opening", "random_vgg", "resampling", "spoken_digits"]
