"""<VNET>."""
from __future__ import annotations

from onecore.kinds.cluster import cluster_ids
from onecore.kinds.kind import lock_xml, owner_xml, permissions_xml
from onecore.kinds.vnet.leases import free, ranges, used, used_in
from onecore.kinds.vnet.record import Range, Vnet, addresses
from onecore.lifecycle.core import Core
from onecore.wire import xmlbody
from onecore.wire.xmlrpc import escape_bytes


def body(core: Core, vnet: Vnet) -> list[bytes]:
    """With leases."""
    return _body(core, vnet, True)


def pool_body(core: Core, vnet: Vnet) -> list[bytes]:
    """Without leases."""
    return _body(core, vnet, False)


def _body(core: Core, vnet: Vnet, leases: bool) -> list[bytes]:
    holders = {lease.vm for r in ranges(core, vnet.oid) for lease in free(core).taken(vnet.oid, r.ar).values()
               if lease.vm >= 0} if leases else set()
    vlan = xmlbody.text("VLAN_ID", vnet.vlan_id)
    head = (f"<VNET>{owner_xml(core, vnet)}{lock_xml(vnet)}{permissions_xml(vnet.perms)}"
            f"{xmlbody.ids('CLUSTERS', cluster_ids(vnet.clusters))}{xmlbody.text('BRIDGE', vnet.bridge)}"
            f"{xmlbody.text('BRIDGE_TYPE', 'linux')}<STATE>{vnet.state}</STATE>"
            f"<PREV_STATE>{vnet.prev_state}</PREV_STATE>"
            f"<PARENT_NETWORK_ID>{_known(vnet.parent)}</PARENT_NETWORK_ID>"
            f"<TEMPLATE_ID></TEMPLATE_ID>{xmlbody.text('VN_MAD', vnet.vn_mad)}"
            f"{xmlbody.text('PHYDEV', vnet.phydev)}{vlan}<OUTER_VLAN_ID></OUTER_VLAN_ID>"
            f"<VLAN_ID_AUTOMATIC>0</VLAN_ID_AUTOMATIC><OUTER_VLAN_ID_AUTOMATIC>0</OUTER_VLAN_ID_AUTOMATIC>"
            f"<USED_LEASES>{used(core, vnet.oid)}</USED_LEASES><VROUTERS></VROUTERS>"
            f"{xmlbody.ids('UPDATED_VMS', holders)}<OUTDATED_VMS></OUTDATED_VMS>"
            f"<UPDATING_VMS></UPDATING_VMS><ERROR_VMS></ERROR_VMS><TEMPLATE>")
    pools = "".join(_range(core, r, leases) for r in ranges(core, vnet.oid))
    return [escape_bytes(head), vnet.template, escape_bytes(f"</TEMPLATE><AR_POOL>{pools}</AR_POOL></VNET>")]


def _known(oid: int) -> str:
    return str(oid) if oid >= 0 else ""


def _range(core: Core, found: Range, leases: bool) -> str:
    first, last = addresses(found, 0), addresses(found, found.size - 1)
    opt = {
        "AR_ID": str(found.ar), "GLOBAL_PREFIX": found.global_prefix, "IP": first.get("IP", ""), "MAC": first["MAC"],
        "NEXT_INDEX": str(free(core).next_index(found.vnet, found.ar)),
        "PARENT_NETWORK_AR_ID": _known(found.parent_ar), "SIZE": str(found.size), "TYPE": found.type,
        "ULA_PREFIX": found.ula_prefix}
    if leases:
        opt |= {"MAC_END": last["MAC"], "IP_END": last.get("IP", "")}
        for key in ("IP6_ULA", "IP6_GLOBAL", "IP6"):
            if key in first:
                opt |= {key: first[key], f"{key}_END": last[key]}
    text = "".join(xmlbody.text(k, v) if k not in ("NEXT_INDEX", "SIZE") else f"<{k}>{v}</{k}>"
                   for k, v in opt.items() if v)
    if leases:
        holders = {index: ("VM", lease.vm) for index, lease in free(core).taken(found.vnet, found.ar).items()}
        for span in free(core).reserved.of(found.vnet, found.ar):
            holders |= dict.fromkeys(range(span.first, span.after), ("VNET", span.vnet))
        inner = "".join(_lease(found, i, *holders[i]) for i in sorted(holders))
        text += f"<USED_LEASES>{used_in(core, found)}</USED_LEASES><LEASES>{inner}</LEASES>"
    return f"<AR>{text}</AR>"


def _lease(found: Range, index: int, tag: str, holder: int) -> str:
    inner = "".join(xmlbody.text(k, v) for k, v in addresses(found, index).items())
    return f"<LEASE>{inner}<{tag}>{holder}</{tag}></LEASE>"
