"""The base class of all networks (features, global average pooling, dropout, linear layer), and its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from torch import Tensor, nn

from edgenet.errors import EdgenetError
from edgenet.zoo.layers import Padding, initialize
from edgenet.zoo.normalization import CENTRED, Normalization


@dataclass(frozen=True)
class NetworkOptions:
    """The settings that a network is built with, besides its architecture and width.

    Attributes:
        classes: the number of outputs.
        dropout: the share of the pooled features that training drops; None uses the architecture's default.
        padding: "same" (as in TensorFlow) or "symmetric" (as in torch).
        epsilon: the epsilon of batch normalization.
        normalization: the normalization that the network expects of its input.
    """

    classes: int = 1000
    dropout: float | None = None
    padding: Padding = "same"
    epsilon: float = 1e-3
    normalization: Normalization = CENTRED

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise EdgenetError(f"the number of classes is {self.classes}", "a classifier needs at least 2")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise EdgenetError(f"the dropout is {self.dropout}", "give a share from 0 to less than 1")
        if self.padding not in get_args(Padding):
            raise EdgenetError(f'the padding is "{self.padding}"', 'give "same" or "symmetric"')
        if not 0 < self.epsilon < 1:
            raise EdgenetError(
                f"the epsilon of batch normalization is {self.epsilon}",
                "give a number between 0 and 1, such as 1e-3",
            )


class Classifier(nn.Module):
    """A network that maps normalized RGB [N,3,H,W] to logits [N,classes].

    Attributes:
        features: the convolutional layers, [N,3,H,W] to [N,C,h,w].
        pool: global average pooling to [N,C,1,1]; the identity in networks whose head reads the whole map.
        head: extra layers that some networks have between pooling and the last layer; else the identity.
        classifier: the last layer, [N,channels] to [N,classes].
        options: the settings that the network was built with.
    """

    classifier: nn.Linear | nn.Conv2d

    def __init__(
        self,
        features: nn.Sequential,
        channels: int,
        dropout: float,
        options: NetworkOptions,
        head: nn.Module | None = None,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.features = features
        self.pool = pool or nn.AdaptiveAvgPool2d(1)
        self.head = head or nn.Identity()
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, options.classes)
        initialize(self)

    @property
    def normalization(self) -> Normalization:
        """The normalization that the network expects of its input."""
        return self.options.normalization

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N,classes] of normalized RGB `x` [N,3,H,W]."""
        pooled = self.head(self.pool(self.features(x)))
        return self.classifier(self.dropout(self.flatten(pooled)))
