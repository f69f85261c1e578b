"""The bundle: one file that holds a network, its labels, facts about it, and checksums of it all."""

from edgenet.bundle.bundle import Bundle as Bundle
from edgenet.bundle.bundle import open_bundle as open_bundle
from edgenet.bundle.bundle import write_bundle as write_bundle
from edgenet.bundle.manifest import Accuracy as Accuracy
from edgenet.bundle.manifest import Facts as Facts
from edgenet.bundle.manifest import Manifest as Manifest
from edgenet.bundle.manifest import Quantization as Quantization
from edgenet.bundle.manifest import Weights as Weights
