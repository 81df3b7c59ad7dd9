#!/bin/sh
# mpgate attach --hook forward --mode strict --queue 0 --backend iptables --print
# Out with it: mpgate detach
set -e

for family in iptables ip6tables; do
  while $family -w 5 -t mangle -D FORWARD -p tcp -j MPGATE_CHOOSE 2>/dev/null; do :; done
  while $family -w 5 -t mangle -D FORWARD -m mark --mark 0x60000000/0x60000000 -j MPGATE_ANSWERED 2>/dev/null; do :; done
  $family-restore --noflush -w 5 <<'RULES'
*mangle
:MPGATE_ASK - [0:0]
:MPGATE_CHOOSE - [0:0]
:MPGATE_ANSWERED - [0:0]
-A MPGATE_ASK -m mark --mark 0x20000000/0x60000000 -j RETURN
-A MPGATE_ASK -j MARK --set-xmark 0x40000000/0x40000000
-A MPGATE_ASK -j CONNMARK --restore-mark --nfmask 0x18000000 --ctmask 0x18000000
-A MPGATE_ASK -j NFQUEUE --queue-num 0 --queue-bypass
-A MPGATE_CHOOSE -p tcp --tcp-flags SYN,ACK SYN --tcp-option 30 -j CONNMARK --set-xmark 0x18000000/0x18000000
-A MPGATE_CHOOSE -p tcp --tcp-option 30 -j MPGATE_ASK
-A MPGATE_CHOOSE -p tcp --tcp-flags SYN,FIN,RST NONE -j RETURN
-A MPGATE_CHOOSE -m connmark --mark 0x10000000/0x10000000 -j MPGATE_ASK
-A MPGATE_ANSWERED -j CONNMARK --save-mark --nfmask 0x18000000 --ctmask 0x18000000
-A MPGATE_ANSWERED -j MARK --set-xmark 0x0/0x60000000
-A MPGATE_ANSWERED -j ACCEPT
-A FORWARD -p tcp -j MPGATE_CHOOSE
-I FORWARD -m mark --mark 0x60000000/0x60000000 -j MPGATE_ANSWERED
COMMIT
RULES
done
