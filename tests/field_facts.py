"""What is known about a photo that a camera has kept in the field, for tests."""

from edgenet_device.field.photo_facts import PhotoFacts

FACTS = PhotoFacts(
    reason="close",
    doubt=0.5,
    label="cat",
    top=(("cat", 0.6), ("dog", 0.5)),
    said=None,
    time="2026-11-30T09:14:03.512Z",
    clock_set=True,
    looks="00ff00ff00ff00ff",
    device="pi",
    model="m.edgenet",
    model_sha256="0" * 64,
)
