"""The bundle: one file that holds a network, its labels, its facts and their checksums."""

from edgenet.package.bundle import Bundle as Bundle
from edgenet.package.bundle import open_bundle as open_bundle
from edgenet.package.bundle import write_bundle as write_bundle
from edgenet.package.manifest import Accuracy as Accuracy
from edgenet.package.manifest import Facts as Facts
from edgenet.package.manifest import Manifest as Manifest
from edgenet.package.manifest import Quantization as Quantization
from edgenet.package.manifest import Weights as Weights
