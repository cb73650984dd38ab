"""The attributes that vfio_ap gives to its mdevs and its mdev type (host.md 3.2 to 3.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.linux.core import AttributeGroup, Written
from apmatrix.linux.vfio_ap import assignment
from apmatrix.rules.text import ap_config_text, control_domains_text, matrix_text

if TYPE_CHECKING:
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.module import MatrixDevice, MdevType, VfioApRoot

ASSIGNMENT: AttributeGroup[MatrixMdev] = AttributeGroup()


@ASSIGNMENT.store()
def assign_adapter(mdev: MatrixMdev, value: Written) -> None:
    """Give the guest an adapter, by its number (MTX-20)."""
    assignment.assign(mdev, assignment.adapter, value.text)


@ASSIGNMENT.store()
def assign_domain(mdev: MatrixMdev, value: Written) -> None:
    """Give the guest a usage domain, by its number (MTX-25)."""
    assignment.assign(mdev, assignment.usage_domain, value.text)


@ASSIGNMENT.store()
def assign_control_domain(mdev: MatrixMdev, value: Written) -> None:
    """Give the guest a control domain, by its number (MTX-35)."""
    assignment.assign_control_domain(mdev, value.text)


@ASSIGNMENT.store()
def unassign_adapter(mdev: MatrixMdev, value: Written) -> None:
    """Take an adapter back, by its number (MTX-30)."""
    assignment.unassign(mdev, assignment.adapter, value.text)


@ASSIGNMENT.store()
def unassign_domain(mdev: MatrixMdev, value: Written) -> None:
    """Take a usage domain back, by its number (MTX-30)."""
    assignment.unassign(mdev, assignment.usage_domain, value.text)


@ASSIGNMENT.store()
def unassign_control_domain(mdev: MatrixMdev, value: Written) -> None:
    """Take a control domain back, by its number (MTX-36)."""
    assignment.unassign_control_domain(mdev, value.text)


@ASSIGNMENT.show()
def matrix(mdev: MatrixMdev) -> str:
    """The assigned APQNs, one per line (MTX-40)."""
    with mdev.module.mdevs_lock:
        return matrix_text(mdev.matrix, mdev.module.policy.longest_matrix)


@ASSIGNMENT.show()
def guest_matrix(mdev: MatrixMdev) -> str:
    """The APQNs that the guest has or would get, one per line (MTX-40)."""
    with mdev.module.mdevs_lock:
        return matrix_text(mdev.guest, mdev.module.policy.longest_matrix)


@ASSIGNMENT.show()
def control_domains(mdev: MatrixMdev) -> str:
    """The assigned control domains."""
    with mdev.module.mdevs_lock:
        return control_domains_text(mdev.matrix.adm)


def _explains(mdev: MatrixMdev) -> bool:
    return mdev.module.policy.explains


@ASSIGNMENT.show(when=_explains)
def guest_control_domains(mdev: MatrixMdev) -> str:
    """The guest's control domains. Only with the policy ``protective``."""
    with mdev.module.mdevs_lock:
        return control_domains_text(mdev.guest.adm)


@ASSIGNMENT.show(when=_explains)
def filtered(mdev: MatrixMdev) -> str:
    """The adapters that the guest does not get, and why. Only with the policy ``protective``."""
    with mdev.module.mdevs_lock:
        return "".join(f"{adapter:02x} {obstacle}\n" for adapter, obstacle in mdev.obstacles.items())


@ASSIGNMENT.show()
def ap_config(mdev: MatrixMdev) -> str:
    """All three assigned masks; no lock is taken."""
    return ap_config_text(mdev.matrix)


@ASSIGNMENT.store("ap_config")
def set_ap_config(mdev: MatrixMdev, value: Written) -> None:
    """Replace all three masks: ``APM,AQM,ADM`` (MTX-46 to MTX-49)."""
    assignment.configure(mdev, value.text)


MDEV_TYPE: AttributeGroup[MdevType] = AttributeGroup()


@MDEV_TYPE.show()
def name(_kind: MdevType) -> str:
    """The type's human-readable name."""
    return "VFIO AP Passthrough Device\n"


@MDEV_TYPE.show()
def device_api(_kind: MdevType) -> str:
    """The type's name for programs."""
    return "vfio-ap\n"


@MDEV_TYPE.show()
def available_instances(kind: MdevType) -> str:
    """How many more mdevs can be created."""
    return f"{kind.module.lifecycle.available}\n"


@MDEV_TYPE.store()
def create(kind: MdevType, value: Written) -> None:
    """Create an mdev with the written UUID (MTX-11)."""
    kind.module.lifecycle.create(value.raw)


MATRIX_DEVICE: AttributeGroup[MatrixDevice] = AttributeGroup()


@MATRIX_DEVICE.show()
def features(_device: MatrixDevice) -> str:
    """The driver's features beyond those of its first version (MTX-2)."""
    return "guest_matrix hotplug ap_config\n"


ROOT_DEVICE: AttributeGroup[VfioApRoot] = AttributeGroup()


@ROOT_DEVICE.show("uevent")
def show_root_uevent(_device: VfioApRoot) -> str:
    """Empty."""
    return ""


@ROOT_DEVICE.store("uevent")
def synthesize_root_uevent(device: VfioApRoot, value: Written) -> None:
    """Check the request; the kernel sends no event about a device without bus and class."""
    device.host.uevents.check(value.raw, f"/{device.path}", f" {device.name}")
