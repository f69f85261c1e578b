"""What every network here is: features, global average pool, dropout, linear; and its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from torch import Tensor, nn

from edgenet.errors import EdgenetError
from edgenet.zoo.layers import Padding, initialize
from edgenet.zoo.normalization import CENTRED, Normalization


@dataclass(frozen=True)
class NetworkOptions:
    """What a network is built with besides its architecture and width.

    Attributes:
        classes: number of outputs.
        dropout: share of the pooled features dropped while training; None is the architecture's own.
        padding: "same" (TensorFlow) or "symmetric" (torch).
        epsilon: of batch normalization.
        normalization: what its input has been through.
    """

    classes: int = 1000
    dropout: float | None = None
    padding: Padding = "same"
    epsilon: float = 1e-3
    normalization: Normalization = CENTRED

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise EdgenetError(f"a classifier of {self.classes} classes was asked for", "it needs at least 2")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise EdgenetError(f"the dropout is {self.dropout}", "give a share from 0 up to, but not, 1")
        if self.padding not in get_args(Padding):
            raise EdgenetError(f'the padding is "{self.padding}"', 'give "same" or "symmetric"')
        if not 0 < self.epsilon < 1:
            raise EdgenetError(f"the epsilon of batch normalization is {self.epsilon}", "1e-3 is usual")


class Classifier(nn.Module):
    """Normalized RGB [N,3,H,W] to logits [N,classes].

    Attributes:
        features: [N,3,H,W] to [N,C,h,w].
        pool: to [N,C,1,1]; nothing in networks whose head reads the whole map.
        head: what some networks have between the pooled features and the last layer.
        classifier: the last layer, [N,channels] to [N,classes].
        options: what it was built with; `options.normalization` is what its input has been through.
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
        """What its input has been through."""
        return self.options.normalization

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N,classes] of normalized RGB `x` [N,3,H,W]."""
        pooled = self.head(self.pool(self.features(x)))
        return self.classifier(self.dropout(self.flatten(pooled)))
