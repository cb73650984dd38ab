"""QCI without any feature flag, which Linux takes for no QCI (BUS-4)."""

from support.host import Host


def test_without_flags_linux_asks_no_more_what_is_configured():
    host = Host(features=())
    bus = host.system.ap
    assert host.sysfs.read("bus/ap/ap_adapter_mask") == b"not supported\n"
    assert bus.usage_domain(bus.max_domain)
    assert not bus.qci_supported
    assert "card05" in host.sysfs.list("bus/ap/devices")
    host.close()
