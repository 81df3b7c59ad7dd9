#!/bin/sh
# mpgate attach --hook forward --mode strict --queue 0 --backend iptables --print
# Out with it: mpgate detach
set -e

for family in iptables ip6tables; do
  while $family -w 5 -t mangle -D FORWARD -p tcp -j MPGATE_FORWARD 2>/dev/null; do :; done
  while $family -w 5 -t mangle -D POSTROUTING -p tcp -m mark --mark 0x10000000/0x10000000 -j MPGATE_VERDICTS 2>/dev/null; do :; done
  $family-restore --noflush -w 5 <<'RULES'
*mangle
:MPGATE_FORWARD - [0:0]
:MPGATE_VERDICTS - [0:0]
-A MPGATE_FORWARD -m mark --mark 0x20000000/0x20000000 -j RETURN
-A MPGATE_FORWARD -p tcp --tcp-option 30 -j NFQUEUE --queue-num 0 --queue-bypass
-A MPGATE_FORWARD -p tcp --tcp-flags SYN,FIN,RST NONE -j RETURN
-A MPGATE_FORWARD -m connmark --mark 0x10000000/0x10000000 -j NFQUEUE --queue-num 0 --queue-bypass
-A MPGATE_VERDICTS -j CONNMARK --save-mark --nfmask 0x10000000 --ctmask 0x10000000
-A FORWARD -p tcp -j MPGATE_FORWARD
-I POSTROUTING -p tcp -m mark --mark 0x10000000/0x10000000 -j MPGATE_VERDICTS
COMMIT
RULES
done
