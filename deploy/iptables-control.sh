#!/bin/sh
# mpgate attach --hook forward --mode control --queue 0 --backend iptables --print
# Out with it: mpgate detach
set -e

nft -f - <<'RULES'
table inet mpgate
delete table inet mpgate
table inet mpgate {
	chain forward {
		type filter hook forward priority -151; policy accept;
		meta mark & 0x20000000 == 0x20000000 accept
		tcp option mptcp subtype != 2 meta mark set meta mark | 0x40000000
		tcp flags & (syn | fin | rst) == 0 ct mark & 0x18000000 != 0x10000000 accept
		tcp flags & syn == syn tcp option mptcp exists meta mark set meta mark | 0x40000000
		ct mark & 0x10000000 == 0x10000000 meta mark set meta mark | 0x40000000
	}
	chain forward_verdicts {
		type filter hook forward priority -149; policy accept;
		meta mark & 0x10000000 == 0x10000000 ct mark set ct mark & 0xf7ffffff | 0x10000000
		meta mark & 0x8000000 == 0x8000000 ct mark set ct mark | 0x8000000
	}
}
RULES

for family in iptables ip6tables; do
  while $family -w 5 -t mangle -D FORWARD -m mark --mark 0x40000000/0x40000000 -j MPGATE_FORWARD 2>/dev/null; do :; done
  $family-restore --noflush -w 5 <<'RULES'
*mangle
:MPGATE_FORWARD - [0:0]
-A MPGATE_FORWARD -j NFQUEUE --queue-num 0 --queue-bypass
-A FORWARD -m mark --mark 0x40000000/0x40000000 -j MPGATE_FORWARD
COMMIT
RULES
done
