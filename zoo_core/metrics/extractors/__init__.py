"""Feature extractors: networks in whose features samples are measured.

opening     extractors by name, the core's own and those of plugins, opened with their weights
digits      a small classifier of MNIST, bundled
random_vgg  a VGG of fixed random weights, for pictures of any kind
inception   the Inception of FID, whose weights the user brings
"""

__all__ = ["digits", "inception", "opening", "random_vgg"]
