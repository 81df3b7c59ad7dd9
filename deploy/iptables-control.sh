#!/bin/sh
# mpgate attach --hook forward --mode control --queue 0 --backend iptables --print
# Out with it: mpgate detach
set -e

nft -f - <<'RULES'
table inet mpgate
delete table inet mpgate
table inet mpgate {
	chain ask {
		meta mark & 0x60000000 == 0x20000000 accept
		meta mark set meta mark | 0x40000000
	}
	chain watched {
		tcp flags & (syn | fin | rst) == 0 ct mark & 0x8000000 == 0x8000000 accept
		goto ask
	}
	chain usual {
		@th,96,32 & 0xf0000000 == 0xb0000000 @th,256,32 & 0xfffff000 == 0x1e0c2000 accept
		@th,96,32 & 0xe0000000 == 0xe0000000 @th,256,32 & 0xfff0f000 == 0x1e102000 accept
	}
	chain with_others {
		tcp flags & (syn | ack) == syn ct mark set ct mark & 0xf7ffffff | 0x10000000
		goto ask
	}
	chain with_dss {
		tcp flags & syn == syn goto with_others
	}
	chain has_mptcp {
		tcp option mptcp subtype != 2 goto with_others
		tcp flags & (syn | fin | rst) != 0 goto with_dss
		tcp doff < 12 accept
		tcp option mptcp length > 16 accept
	}
	chain forward {
		type filter hook forward priority -151; policy accept;
		@th,96,32 & 0xa0070000 == 0xa0000000 @th,160,32 == 0x101080a jump usual
		tcp option mptcp exists jump has_mptcp
		ct mark & 0x10000000 == 0x10000000 goto watched
	}
}
RULES

for family in iptables ip6tables; do
  while $family -w 5 -t mangle -D FORWARD -m mark --mark 0x40000000/0x40000000 -j MPGATE_ASK 2>/dev/null; do :; done
  while $family -w 5 -t mangle -D FORWARD -m mark --mark 0x60000000/0x60000000 -j MPGATE_ANSWERED 2>/dev/null; do :; done
  $family-restore --noflush -w 5 <<'RULES'
*mangle
:MPGATE_ASK - [0:0]
:MPGATE_ANSWERED - [0:0]
-A MPGATE_ASK -j CONNMARK --restore-mark --nfmask 0x18000000 --ctmask 0x18000000
-A MPGATE_ASK -j NFQUEUE --queue-num 0 --queue-bypass
-A MPGATE_ANSWERED -j CONNMARK --save-mark --nfmask 0x18000000 --ctmask 0x18000000
-A MPGATE_ANSWERED -j MARK --set-xmark 0x0/0x60000000
-A MPGATE_ANSWERED -j ACCEPT
-A FORWARD -m mark --mark 0x40000000/0x40000000 -j MPGATE_ASK
-I FORWARD -m mark --mark 0x60000000/0x60000000 -j MPGATE_ANSWERED
COMMIT
RULES
done
