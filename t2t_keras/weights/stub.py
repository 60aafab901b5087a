"""A stand-in for objects of classes that a checkpoint names and nobody imports."""


class Stub:
    """What a checkpoint says about an object, without the object: inert data.

    Attributes:
        class_name: The class the file named, such as "argparse.Namespace".
        attributes: The attributes the file gave it, by name.
    """

    __slots__ = ("attributes", "class_name")

    def __init__(self, class_name: str):
        self.class_name = class_name
        self.attributes: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"Stub({self.class_name!r}, {len(self.attributes)} attributes)"
