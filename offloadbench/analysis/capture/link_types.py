"""Numbers and names of link types in capture files (LINKTYPE_, tcpdump.org/linktypes.html)."""

from __future__ import annotations

NULL, ETHERNET, PPP, PPP_HDLC, PPP_ETHER, ATM_RFC1483, RAW_IP = 0, 1, 9, 50, 51, 100, 101
C_HDLC, LOOP, ENC, LINUX_SLL, PPP_PPPD, PPI, PPP_WITH_DIR, MPLS = 104, 108, 109, 113, 166, 192, 204, 219
IPV4_ONLY, IPV6_ONLY, PKTAP, LINUX_SLL2 = 228, 229, 258, 276
# what DLT_RAW is called in files of other systems
RAW_IP_TYPES = frozenset({RAW_IP, 12, 14})

_NAMES = {
    2: "experimental Ethernet", 3: "AX.25", 6: "token ring", 7: "ARCNET", 8: "SLIP", 10: "FDDI", 11: "ATM",
    19: "ATM, classical IP", 99: "Symantec firewall", 105: "802.11", 107: "frame relay", 114: "LocalTalk",
    117: "OpenBSD pflog", 119: "802.11 with Prism header", 122: "IP over Fibre Channel", 123: "SunATM",
    127: "802.11 with radiotap header", 129: "Linux ARCNET", 130: "Juniper multilink PPP", 132: "Juniper encryption",
    135: "Juniper ATM2", 137: "Juniper ATM1", 138: "IP over IEEE 1394", 139: "MTP2", 140: "MTP2", 141: "MTP3",
    142: "SCCP", 143: "DOCSIS", 144: "IrDA", 163: "802.11 with AVS header", 165: "BACnet MS/TP", 169: "GPRS LLC",
    177: "LAPD", 178: "Juniper Ethernet", 179: "Juniper PPP", 181: "Juniper HDLC", 182: "multilink frame relay",
    186: "USB, FreeBSD", 187: "Bluetooth HCI", 188: "802.16", 189: "USB, Linux", 190: "CAN", 191: "802.15.4",
    194: "Juniper services", 195: "802.15.4", 196: "SITA", 197: "Endace ERF", 199: "IPMB", 201: "Bluetooth HCI",
    202: "AX.25", 209: "IPMB", 215: "802.15.4", 220: "USB, Linux", 221: "DECT", 222: "AOS", 223: "WirelessHART",
    224: "Fibre Channel", 225: "Fibre Channel", 226: "Solaris IPNET", 227: "CAN", 230: "802.15.4", 231: "D-Bus",
    235: "DVB-CI", 239: "NFLOG", 240: "netANALYZER", 241: "netANALYZER", 242: "IP over InfiniBand",
    243: "MPEG-2 transport stream", 245: "NFC", 246: "pfsync", 247: "InfiniBand", 248: "SCTP", 249: "USBPcap",
    250: "RTAC serial", 251: "Bluetooth LE", 252: "Wireshark upper PDU", 253: "netlink", 254: "Bluetooth monitor",
    255: "Bluetooth", 256: "Bluetooth LE", 257: "PROFIBUS", 259: "EPON", 260: "IPMI", 261: "Z-Wave", 262: "Z-Wave",
    264: "ISO 14443", 265: "RDS", 266: "USB, macOS", 268: "SDLC", 271: "vsock", 272: "Nordic Bluetooth LE",
    273: "DOCSIS 3.1", 274: "Ethernet mPackets", 275: "DisplayPort", 279: "EBHSCR", 280: "VPP dispatch",
    281: "Broadcom switch tag", 282: "Broadcom switch tag", 283: "802.15.4", 284: "Marvell switch tag",
    285: "Marvell switch tag", 288: "USB 2.0", 289: "ATSC",
}  # fmt: skip
_USER_TYPES = range(147, 163)


def name(link_type: int) -> str:
    """`link type 127 (802.11 with radiotap header)`; only the number where it has no name here."""
    known = "reserved for private use" if link_type in _USER_TYPES else _NAMES.get(link_type, "")
    return f"link type {link_type}" + (f" ({known})" if known else "")
