"""A family of another distribution: small networks of its own that learn and draw."""

from toy_family.declaration import Toy

FAMILY = Toy()
