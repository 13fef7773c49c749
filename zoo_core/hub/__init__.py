"""The Hugging Face Hub, and any server that speaks its protocol: the one package that imports huggingface_hub.

    address     hf://user/repo[@revision]
    where       where the Hub and its cache are
    client      asking the Hub, and trying again
    problems    what went wrong, in one line
    fetch       from the Hub into the Hub's own cache, every file verified
    cache       what lies in that cache, and checking it
    stamps      what makes checking a file for the second time cheap
    follow      hashing a file while it is downloaded
    keeping     looking after the cache: list, remove, prune, verify
    plan        what a push would do
    publish     from a model folder to the Hub, in one commit
    remote      what the Hub has of a model already
    cards       the README of a repository: whose part is whose
    teams       registries that lie on the Hub
    search      models on the Hub

Importing any of these imports neither huggingface_hub nor torch.
"""
