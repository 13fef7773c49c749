"""Feature extractors: networks in whose features samples and data are compared.

opening       extractors by name, those of the core and of plugins, and their weights
digits        a small classifier of MNIST, bundled
random_vgg    a VGG with fixed random weights, for pictures of any kind
efficientnet  a small classifier of ImageNet, whose weights are an extra
inception     the Inception of FID, for which the user provides the weights
"""

__all__ = ["digits", "efficientnet", "inception", "opening", "random_vgg"]
