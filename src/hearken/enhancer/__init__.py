"""The enhancer: cleans the voice of the talker one sees."""

from hearken.enhancer.model import Enhancer, EnhancerConfig, MaskNet

__all__ = ["Enhancer", "EnhancerConfig", "MaskNet"]
