"""Results on disk: blobs named by their content, records under keys, leases, facts. One folder, shared by all."""

from vflow.engine.store.blobs import Damaged
from vflow.engine.store.leases import Lease
from vflow.engine.store.record import Record
from vflow.engine.store.store import Store, default_folder
from vflow.engine.store.survey import Damage

__all__ = ["Damage", "Damaged", "Lease", "Record", "Store", "default_folder"]
